"""What fake robots share: two joints to be brought to a target, and an expert that goes straight there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import ContractError, unknown_name
from sop_bench.robot import (
    Assessment,
    CameraSpec,
    Observation,
    Outcome,
    RobotSpec,
    Split,
    Step,
    allowed_action,
)


@dataclass(frozen=True)
class Start:
    """Where a scene of a fake robot begins and what it asks for; both vectors (2,), rad."""

    joints: NDArray[np.float64]
    target: NDArray[np.float64]
    instruction: str


class TwoJointRobot:
    """A robot of the given spec; a subclass draws the scenes and paints the images.

    Args:
        slack: How far the joints stay behind the targets.
    """

    tolerance_rad: ClassVar[Mapping[str, float]]

    def __init__(self, spec: RobotSpec, slack: float = 0.0):
        self.spec, self._slack = spec, slack
        self._outcome = Outcome.SUCCESS  # nothing to step before the first reset

    def draw(self, task: str, rng: np.random.Generator) -> Start:
        raise NotImplementedError

    def images(self) -> dict[str, NDArray[np.uint8]]:
        raise NotImplementedError

    def reset(self, task: str, seed: int, *, split: Split = "train") -> Observation:
        if task not in self.spec.tasks:
            raise unknown_name("task", task, self.spec.tasks)
        return self.begin(task, np.random.default_rng([seed, self.spec.tasks.index(task), split == "test"]))

    def begin(self, task: str, rng: np.random.Generator) -> Observation:
        """The first observation of a scene drawn from `rng`."""
        start = self.draw(task, rng)
        self.task, self.joints, self.target = task, start.joints, start.target
        self._instruction, self._commanded = start.instruction, start.joints.astype(np.float32)
        self.steps, self._outcome = 0, Outcome.RUNNING
        return self._observation()

    def step(self, action_rad: NDArray[np.floating]) -> Step:
        if self._outcome is not Outcome.RUNNING:
            raise ContractError("The episode is over; allowed: reset. Reset first.")
        self._commanded = allowed_action(self.spec, action_rad, self._commanded)
        self.joints = self._slack * self.joints + (1 - self._slack) * self._commanded
        self.steps += 1
        reason = ""
        if self.distance < self.tolerance_rad[self.task]:
            self._outcome, reason = Outcome.SUCCESS, "reached"
        elif self.steps >= self.spec.time_limit_s[self.task] * self.spec.control_hz:
            self._outcome, reason = Outcome.TIMEOUT, "time out"
        return Step(self._observation(), self._commanded.copy(), self._outcome, reason)

    def close(self) -> None:
        self._outcome = Outcome.FAILURE

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def distance(self) -> float:
        return float(np.abs(self.joints - self.target).max())

    def _observation(self) -> Observation:
        state = np.concatenate([self.joints, self.target]).astype(np.float32)
        return Observation(self.images(), state, self._commanded.copy(), self._instruction)


class StraightExpert:
    """Goes straight to the target and sees no hazard."""

    def __init__(self, robot: TwoJointRobot, stride_rad: float):
        self._robot, self._stride_rad = robot, stride_rad

    def act(self) -> NDArray[np.float32]:
        robot = self._robot
        way = np.clip(robot.target - robot.joints, -self._stride_rad, self._stride_rad)
        return (robot.joints + way).astype(np.float32)

    def assess(self) -> Assessment:
        return Assessment("", True, True, 1 - self._robot.distance / 4)


def dot(place_rad: NDArray[np.floating], camera: CameraSpec, grey: int) -> NDArray[np.uint8]:
    """An image of a place: one white pixel."""
    image = np.full((camera.height, camera.width, 3), grey, np.uint8)
    row, column = np.clip((place_rad + 2) * 4, 0, 15).astype(int)
    image[row, column] = 255
    return image


def register_robot(directory: Path, name: str, factory: str) -> None:
    """Make a robot installed, as a package would that lay in `directory`: here and in processes from here."""
    metadata = directory / f"sop_fake_{name}-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: sop-fake-{name}\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(f"[sop_bench.robots]\n{name} = {factory}\n")
    for entry in (str(directory), str(Path(__file__).parent)):
        if entry not in sys.path:
            sys.path.insert(0, entry)

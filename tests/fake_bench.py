"""A bench with two tasks that differ in everything that could make one starve the other; no simulator needed.

``restock/carry`` moves the right arm far and fast while the left one rests; ``cloth/spread`` moves both a
little and slowly, and takes more than twice as long. They have other labels, other limits and other words.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import numpy as np
from fakes import register_robot
from numpy.typing import NDArray

from sop_bench.robot import (
    Assessment,
    CameraSpec,
    LabelledScene,
    Observation,
    Outcome,
    RobotSpec,
    Split,
    Step,
    checked_action,
)

CARRY, SPREAD = "restock/carry", "cloth/spread"
TASKS = (CARRY, SPREAD)
LIMITS_S = {CARRY: 4.0, SPREAD: 8.0}
REST_RAD = 0.7  # where the left arm is parked while things are carried

_COLOURS = ("red", "blue")
_STRIDE_RAD = {CARRY: 0.1, SPREAD: 0.01}
_MAX_STEP_RAD = 0.1
_TOLERANCE_RAD = {CARRY: 0.1, SPREAD: 0.03}
_HZ = 10.0
_CAMERAS = tuple(CameraSpec(name, 16, 16) for name in ("front", "wrist_left", "wrist_right"))


class BenchRobot:
    """A left and a right joint, each to be brought to a target."""

    def __init__(self, station_seed: int):
        self.spec = RobotSpec(
            name="bench",
            station={
                "station_seed": station_seed,
                f"task_version.{CARRY}": "1",
                f"task_version.{SPREAD}": "7",
            },
            control_hz=_HZ,
            joint_names=("left_arm", "right_arm"),
            joint_lower_rad=np.full(2, -2, np.float32),
            joint_upper_rad=np.full(2, 2, np.float32),
            max_step_rad=np.full(2, _MAX_STEP_RAD, np.float32),
            proprioception_names=("left_arm", "right_arm", "left_target", "right_target"),
            cameras=_CAMERAS,
            tasks=TASKS,
            time_limit_s=LIMITS_S,
            seedable=True,
            resets_itself=True,
            real=False,
        )
        self._outcome = Outcome.SUCCESS

    def reset(self, task: str, seed: int, *, split: Split = "train") -> Observation:
        self._begin(task, np.random.default_rng([seed, TASKS.index(task), split == "test"]))
        return self._observation()

    def _begin(self, task: str, rng: np.random.Generator) -> None:
        self.task, self._colour = task, _COLOURS[rng.integers(2)]
        if task == CARRY:
            self.joints = np.array([REST_RAD, rng.uniform(-0.2, 0.2)])
            self.target = np.array([REST_RAD, rng.choice([-1, 1]) * rng.uniform(0.9, 1.3)])
        else:
            self.joints = rng.uniform(-0.2, 0.2, 2)
            self.target = self.joints + rng.choice([-1, 1], 2) * rng.uniform(0.35, 0.45, 2)
        self._commanded = self.joints.astype(np.float32)
        self._steps, self._outcome = 0, Outcome.RUNNING

    def step(self, action_rad: NDArray[np.floating]) -> Step:
        action = checked_action(self.spec, action_rad)
        self._commanded = np.clip(action, self._commanded - _MAX_STEP_RAD, self._commanded + _MAX_STEP_RAD)
        self.joints = self._commanded.astype(float)
        self._steps += 1
        if self.distance < _TOLERANCE_RAD[self.task]:
            self._outcome = Outcome.SUCCESS
        elif self._steps >= LIMITS_S[self.task] * _HZ:
            self._outcome = Outcome.TIMEOUT
        reason = "" if self._outcome is Outcome.RUNNING else self._outcome.value
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

    def expert(self) -> BenchExpert:
        return BenchExpert(self)

    def labels(self) -> Mapping[str, NDArray[np.float32]]:
        left, right = self.target
        away = self.target - self.joints
        if self.task == CARRY:
            labels = {"target_xyz": [right, 0, 0], "target_minus_tcp": [away[1], 0, 0]}
        else:
            labels = {"far_tabs_xyz": [left, 0, 0, right, 0, 0], "right_tab_minus_tcp": [away[1], 0, 0]}
        return {name: np.asarray(values, np.float32) for name, values in labels.items()}

    def labelled_scene(self, task: str, rng: np.random.Generator, *, split: Split = "train") -> LabelledScene:
        del split
        self._begin(task, rng)
        return LabelledScene(self._observation(), self.labels())

    def _observation(self) -> Observation:
        images = {}
        for camera, place in zip(_CAMERAS, (self.target, self.joints, self.joints), strict=True):
            image = np.full((16, 16, 3), 40, np.uint8)
            row, column = np.clip((place + 2) * 4, 0, 15).astype(int)
            image[row, column] = 255
            images[camera.name] = image
        thing = f"carry the {self._colour} box" if self.task == CARRY else f"spread the {self._colour} cloth"
        state = np.concatenate([self.joints, self.target]).astype(np.float32)
        return Observation(images, state, self._commanded.copy(), thing)


class BenchExpert:
    """Goes straight to the targets, at the pace of the task."""

    def __init__(self, robot: BenchRobot):
        self._robot = robot

    def act(self) -> NDArray[np.float32]:
        robot = self._robot
        stride = _STRIDE_RAD[robot.task]
        return (robot.joints + np.clip(robot.target - robot.joints, -stride, stride)).astype(np.float32)

    def assess(self) -> Assessment:
        return Assessment("", True, True, 1 - self._robot.distance / 4)


def make_bench(*, station_seed: int = 0) -> BenchRobot:
    return BenchRobot(station_seed)


def register(directory) -> None:
    """Make the robot ``bench`` installed, here and in processes started from here."""
    register_robot(directory, "bench", "fake_bench:make_bench")

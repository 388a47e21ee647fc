"""A bench with two tasks that differ in everything that could make one starve the other; no simulator needed.

``restock/carry`` moves the right arm far and fast while the left one rests; ``cloth/spread`` moves both a
little and slowly, and takes more than twice as long. They have other labels, other limits and other words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from fake_robot import Start, StraightExpert, TwoJointRobot, dot, register_robot
from numpy.typing import NDArray

from sop_bench.robot import CameraSpec, LabelledScene, RobotSpec, Split

CARRY, SPREAD = "restock/carry", "cloth/spread"
TASKS = (CARRY, SPREAD)
LIMITS_S = {CARRY: 4.0, SPREAD: 8.0}
REST_RAD = 0.7  # where the left arm is parked while things are carried

_COLOURS = ("red", "blue")
_STRIDE_RAD = {CARRY: 0.1, SPREAD: 0.01}
_MAX_STEP_RAD = 0.1
_CAMERAS = tuple(CameraSpec(name, 16, 16) for name in ("front", "wrist_left", "wrist_right"))


class BenchRobot(TwoJointRobot):
    """A left and a right joint."""

    tolerance_rad: ClassVar = {CARRY: 0.1, SPREAD: 0.03}

    def __init__(self, station_seed: int):
        spec = RobotSpec(
            name="bench",
            station={
                "station_seed": station_seed,
                f"task_version.{CARRY}": "1",
                f"task_version.{SPREAD}": "7",
            },
            control_hz=10.0,
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
        super().__init__(spec)

    def draw(self, task: str, rng: np.random.Generator) -> Start:
        colour = _COLOURS[rng.integers(2)]
        if task == CARRY:
            joints = np.array([REST_RAD, rng.uniform(-0.2, 0.2)])
            target = np.array([REST_RAD, rng.choice([-1, 1]) * rng.uniform(0.9, 1.3)])
            return Start(joints, target, f"carry the {colour} box")
        joints = rng.uniform(-0.2, 0.2, 2)
        target = joints + rng.choice([-1, 1], 2) * rng.uniform(0.35, 0.45, 2)
        return Start(joints, target, f"spread the {colour} cloth")

    def images(self) -> dict[str, NDArray[np.uint8]]:
        places = (self.target, self.joints, self.joints)
        return {camera.name: dot(place, camera, 40) for camera, place in zip(_CAMERAS, places, strict=True)}

    def expert(self) -> StraightExpert:
        """Goes at the pace of the task."""
        return StraightExpert(self, _STRIDE_RAD[self.task])

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
        return LabelledScene(self.begin(task, rng), self.labels())


def make_bench(*, station_seed: int = 0) -> BenchRobot:
    return BenchRobot(station_seed)


def register(directory) -> None:
    """Make the robot ``bench`` installed, here and in processes started from here."""
    register_robot(directory, "bench", "fake_bench:make_bench")

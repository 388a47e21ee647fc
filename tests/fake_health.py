"""A robot without a simulator whose physics breaks on demand, as `fakes.ReachRobot` breaks its elbow.

The scene decides: the last digit of its seed is 1 for a warning, 2 for a NaN, 3 for a deep penetration, 4 for
a divergence, else all is well.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from fakes import ReachRobot, register_robot
from numpy.typing import NDArray

from sop_bench.errors import ContractError, RobotFaultError
from sop_bench.health import Bound, Extreme, Health
from sop_bench.robot import Observation, Split, Step

FINE, WARNING, NAN, DEEP, DIVERGED = range(5)
BOUNDS = {"penetration_m": Bound(0.01, "half an elbow"), "speed_m_s": Bound(2.0, "no elbow is faster")}


class ShakyRobot(ReachRobot):
    _watching = _watched = False
    _trouble, _seed = FINE, 0

    def health_bounds(self) -> Mapping[str, Bound]:
        return BOUNDS

    def watch_health(self, watching: bool) -> None:
        self._watching = watching

    def reset(self, task: str, seed: int, *, split: Split = "train") -> Observation:
        self._watched, self._seed, self._trouble = self._watching, seed, seed % 10
        return super().reset(task, seed, split=split)

    def step(self, action_rad: NDArray[np.floating]) -> Step:
        step = super().step(action_rad)
        if self._trouble == DIVERGED and self.steps == 3:
            raise RobotFaultError("the world fell apart")
        return step

    def health(self) -> Health:
        if not self._watched:
            raise ContractError("Nobody watched. Call watch_health(True), and reset.")
        deep = self._trouble == DEEP
        penetration = Extreme(0.04 if deep else 0.002, "elbow | desk", 0.3)
        warnings = {"contactfull": 2} if self._trouble == WARNING else {}
        warnings |= {"badqacc": 1} if self._trouble == DIVERGED else {}
        speed = Extreme(0.5 + self._seed % 7 / 10, "elbow", 0.1)
        return Health({"penetration_m": penetration, "speed_m_s": speed}, warnings, self._trouble != NAN)


def make_shaky(*, station_seed: int = 0) -> ShakyRobot:
    return ShakyRobot(station_seed)


def register(directory: Path) -> None:
    """Make the robot ``shaky`` installed."""
    register_robot(directory, "shaky", "fake_health:make_shaky")

"""Wrappers that look at a robot while an episode runs, and change nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import ConfigurationError
from sop_bench.robot import Expert, HasWindow, Observation, Robot, RobotSpec, Split, Step, Window
from sop_bench.supervision.operator import expert_of


@dataclass
class WatchedRobot:
    """A `Robot` that behaves as `robot` does; subclasses look after each reset and step. They nest."""

    robot: Robot

    @property
    def bare(self) -> Robot:
        """The robot inside all wrappers, with whatever it can do besides."""
        return self.robot.bare if isinstance(self.robot, WatchedRobot) else self.robot

    def began(self, observation: Observation) -> None:
        """Called after each reset."""

    def moved(self, step: Step) -> None:
        """Called after each step."""

    @property
    def spec(self) -> RobotSpec:
        return self.robot.spec

    def reset(self, task: str, seed: int, *, split: Split = "train") -> Observation:
        observation = self.robot.reset(task, seed, split=split)
        self.began(observation)
        return observation

    def step(self, action_rad: NDArray[np.floating]) -> Step:
        step = self.robot.step(action_rad)
        self.moved(step)
        return step

    def expert(self) -> Expert:
        return expert_of(self.robot)

    def close(self) -> None:
        self.robot.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass
class WindowedRobot(WatchedRobot):
    """Shows every episode in a window, at the robot's own pace."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _window: Window | None = None
    _due_s: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.bare, HasWindow):
            raise ConfigurationError(
                f"Robot {self.spec.name!r} shows no window; allowed: robots that implement HasWindow "
                f"(sop_bench.robot), such as so101. Watch a file instead: give --output or --rerun."
            )

    def began(self, observation: Observation) -> None:
        del observation
        self._shut()
        assert isinstance(self.bare, HasWindow)
        self._window = self.bare.open_window()
        self._window.refresh()
        self._due_s = self.clock()

    def moved(self, step: Step) -> None:
        del step
        if self._window is None or not self._window.is_open:
            return  # closed by hand: the episode goes on unseen
        self._window.refresh()
        self._due_s += self.spec.control_step_s
        self.sleep(max(0.0, self._due_s - self.clock()))

    def linger(self) -> None:
        """Wait until somebody closes the window."""
        while self._window is not None and self._window.is_open:
            self.sleep(self.spec.control_step_s)

    def close(self) -> None:
        self._shut()
        super().close()

    def _shut(self) -> None:
        if self._window is not None:
            self._window.close()
        self._window = None

"""Where the time of an episode goes: a stopwatch with parts, and wrappers that charge robot and policy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sop_bench.policy.base import act_together
from sop_bench.policy.wrappers import WrappedPolicy
from sop_bench.robot import Observation, Split, Step
from sop_bench.studies.watched import WatchedRobot

PHYSICS, RENDERING, POLICY, OTHER = "physics", "rendering", "policy", "other"
PARTS = (PHYSICS, RENDERING, POLICY, OTHER)


@dataclass
class Stopwatch:
    """Seconds by part. Parts nest, and the inner one alone is charged; outside of all it is ``other``.

    Args:
        clock: By default the CPU time of this process, all threads together.
    """

    clock: Callable[[], float] = time.process_time
    spent_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))

    def __post_init__(self) -> None:
        self._running, self._since_s = OTHER, self.clock()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Charge what is inside to `name`."""
        outer = self._switch(name)
        try:
            yield
        finally:
            self._switch(outer)

    def total_s(self) -> float:
        """All that was spent until now."""
        self._switch(self._running)
        return sum(self.spent_s.values())

    def _switch(self, name: str) -> str:
        now_s, before = self.clock(), self._running
        self.spent_s[before] += now_s - self._since_s
        self._running, self._since_s = name, now_s
        return before


@dataclass
class TimedRobot(WatchedRobot):
    """Charges steps to physics, and images to rendering when they are read; resets stay ``other``."""

    stopwatch: Stopwatch

    def reset(self, task: str, seed: int, *, split: Split = "train") -> Observation:
        return self._timed(super().reset(task, seed, split=split))

    def step(self, action_rad: NDArray[np.floating]) -> Step:
        with self.stopwatch.part(PHYSICS):
            step = super().step(action_rad)
        return replace(step, observation=self._timed(step.observation))

    def _timed(self, observation: Observation) -> Observation:
        return replace(observation, images=_TimedImages(observation.images, self.stopwatch))


class _TimedImages(Mapping[str, NDArray[np.uint8]]):
    def __init__(self, images: Mapping[str, NDArray[np.uint8]], stopwatch: Stopwatch) -> None:
        self._images, self._stopwatch = images, stopwatch

    def __getitem__(self, name: str) -> NDArray[np.uint8]:
        with self._stopwatch.part(RENDERING):
            return self._images[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._images)

    def __len__(self) -> int:
        return len(self._images)


@dataclass(frozen=True)
class TimedPolicy(WrappedPolicy):
    """`policy`, whose acts are charged; images of a `TimedRobot` that it reads are rendering all the same."""

    stopwatch: Stopwatch

    def act(self, observation: Observation, rng: np.random.Generator) -> NDArray[np.float32]:
        with self.stopwatch.part(POLICY):
            return super().act(observation, rng)

    def act_together(
        self, observations: Sequence[Observation], rngs: Sequence[np.random.Generator]
    ) -> Sequence[NDArray[np.float32]]:
        with self.stopwatch.part(POLICY):
            return act_together(self.policy, observations, rngs)

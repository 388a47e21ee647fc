"""A supervisor that takes over from a bad policy, once: the test of what an expert can save.

The expert begins, so that takeovers happen all along an episode; then the policy is alone for some steps;
then the expert finishes, unless it sees no way any more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sop_bench.episode import Source
from sop_bench.robot import Observation, Robot
from sop_bench.supervision.base import Decision
from sop_bench.supervision.operator import expert_of

HAZARD = "bad policy"


@dataclass(frozen=True)
class TakeoverConfig:
    """When the policy acts; both are drawn for each episode, ends included.

    Attributes:
        before_steps: Control steps of the expert before the policy's first.
        bad_steps: Control steps of the policy before the takeover.
    """

    before_steps: tuple[int, int] = (0, 30)
    bad_steps: tuple[int, int] = (5, 40)

    def build(self) -> Takeover:
        return Takeover(self)


class Takeover:
    """A `Supervisor` of one takeover.

    Attributes:
        recoverable: What the expert said of the state in which it was to take over; ``None`` in an episode
            that has not come that far. It takes over only what is recoverable.
    """

    source = Source.EXPERT

    def __init__(self, config: TakeoverConfig | None = None):
        self.config = config or TakeoverConfig()
        self.recoverable: bool | None = None

    def begin(self, robot: Robot, task: str, rng: np.random.Generator) -> None:
        del task
        own = np.random.default_rng(rng.integers(2**63))
        self._expert = expert_of(robot)
        self._bad_from = int(own.integers(*self.config.before_steps, endpoint=True))
        self._bad_until = self._bad_from + int(own.integers(*self.config.bad_steps, endpoint=True))
        self._step = -1
        self.recoverable = None

    def decide(self, observation: Observation, elapsed_s: float) -> Decision:
        del observation, elapsed_s
        self._step += 1
        if self._step == self._bad_until:
            self.recoverable = self._expert.assess().recoverable
        begins, takes_over = self._step < self._bad_from, self.recoverable is True
        if not begins and not takes_over:
            return Decision()
        hazard = HAZARD if self._step == self._bad_until else ""
        return Decision(self._expert.act(), takeover=hazard, attending=True)

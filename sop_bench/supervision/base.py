"""Supervisors: whoever may take control away from the policy, within an episode.

The calling loop, in `sop_bench.rollout.run_episode`::

    supervisor.begin(robot, task, rng)
    ...
    decision = supervisor.decide(observation, elapsed_s)     # before every control step
    if decision.action_rad is not None: ...                  # the supervisor is in control of this step
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sop_bench.episode import Source
from sop_bench.robot import Observation, Robot


@dataclass(frozen=True)
class Decision:
    """What the supervisor does at one control step.

    Attributes:
        action_rad: Joint targets (action_dim,) if it is in control, else ``None``.
        takeover: The hazard it reacts to, on the first step of a takeover; else empty.
        attending: Operator time is charged for this step (in control, or reacting).
    """

    action_rad: NDArray[np.float32] | None = None
    takeover: str = ""
    attending: bool = False


class Supervisor(Protocol):
    """Decides, step by step, whether the policy keeps control."""

    @property
    def source(self) -> Source:
        """How its actions are labelled."""
        ...

    def begin(self, robot: Robot, task: str, rng: np.random.Generator) -> None:
        """Called once after reset; all randomness of the episode's supervision comes from `rng`."""
        ...

    def decide(self, observation: Observation, elapsed_s: float) -> Decision:
        """The decision for the coming step; called once per control step, in order."""
        ...


class NoSupervisor:
    """Lets the policy finish whatever it does: evaluation is always ungated."""

    source = Source.EXPERT

    def begin(self, robot: Robot, task: str, rng: np.random.Generator) -> None:
        del robot, task, rng

    def decide(self, observation: Observation, elapsed_s: float) -> Decision:
        del observation, elapsed_s
        return Decision()

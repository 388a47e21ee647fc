"""What every policy owes the loop, whatever its size.

A policy turns one observation into a chunk of actions; `sop_bench.rollout.run_episode` executes the first
few and asks again::

    chunk_rad = policy.act(observation, rng)          # (chunk_steps, action_dim)
    for action_rad in chunk_rad[:execute_steps]: ...

Trainable policies add weights that can be saved, loaded and named by a version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Observation, RobotSpec

EXECUTE_STEPS = 4  # of a chunk, where neither who asks nor the policy says otherwise


@dataclass(frozen=True)
class PolicyVersion:
    """The name of one immutable set of weights: a number that grows, and a hash of the content."""

    number: int
    content_hash: str

    def __str__(self) -> str:
        return f"v{self.number}-{self.content_hash[:8]}"


class Policy(Protocol):
    """Anything that acts."""

    @property
    def version(self) -> PolicyVersion: ...

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras `act` reads."""
        ...

    @property
    def chunk_steps(self) -> int: ...

    def act(self, observation: Observation, rng: np.random.Generator) -> NDArray[np.float32]:
        """Absolute joint-position targets for the next steps, (chunk_steps, action_dim), rad."""
        ...


@runtime_checkable
class ChoosesHorizon(Protocol):
    """A policy that says itself how many steps of its chunks are executed before it is asked again."""

    def execute_steps(self, instruction: str) -> int: ...


def execution_horizon(policy: Policy, instruction: str) -> int:
    """Steps of each chunk of `policy` that are executed before it is asked again, under this instruction."""
    return policy.execute_steps(instruction) if isinstance(policy, ChoosesHorizon) else EXECUTE_STEPS


@runtime_checkable
class ActsTogether(Protocol):
    """A policy that is sooner done with several observations at once than with one after the other."""

    def act_together(
        self, observations: Sequence[Observation], rngs: Sequence[np.random.Generator]
    ) -> Sequence[NDArray[np.float32]]:
        """What `Policy.act` gives for each, but for rounding; each answer is the same in any company."""
        ...


def act_together(
    policy: Policy, observations: Sequence[Observation], rngs: Sequence[np.random.Generator]
) -> Sequence[NDArray[np.float32]]:
    """The chunk of `policy` for each of `observations` of one task: at once, if it is made for that."""
    if isinstance(policy, ActsTogether):
        return policy.act_together(observations, rngs)
    return [policy.act(observation, rng) for observation, rng in zip(observations, rngs, strict=True)]


class RandomPolicy:
    """Uniform joint targets near the commanded ones: what no task may be solved by."""

    version = PolicyVersion(0, "random")
    cameras: tuple[str, ...] = ()
    chunk_steps = 4

    def __init__(self, spec: RobotSpec, scale: float = 1.0):
        self._lower, self._upper = spec.joint_lower_rad, spec.joint_upper_rad
        self._stride = spec.max_step_rad * scale

    def act(self, observation: Observation, rng: np.random.Generator) -> NDArray[np.float32]:
        moves = rng.uniform(-1, 1, (self.chunk_steps, len(self._stride))) * self._stride
        chunk = observation.commanded_rad + np.cumsum(moves, axis=0)
        return np.clip(chunk, self._lower, self._upper).astype(np.float32)


class HoldPolicy:
    """Repeats the commanded targets: the zero action."""

    version = PolicyVersion(0, "hold")
    cameras: tuple[str, ...] = ()
    chunk_steps = 4

    def act(self, observation: Observation, rng: np.random.Generator) -> NDArray[np.float32]:
        del rng
        return np.tile(observation.commanded_rad, (self.chunk_steps, 1))

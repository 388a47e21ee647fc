"""Who acts in an episode that somebody watches or measures: the expert, a bad policy, or a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import ConfigurationError
from sop_bench.policy.base import Policy, PolicyVersion, RandomPolicy
from sop_bench.policy.stress import AbruptPolicy, SmoothPolicy
from sop_bench.robot import Observation, Robot
from sop_bench.supervision.operator import expert_of

EXPERT, RANDOM, SMOOTH, ABRUPT, SHAKY = "expert", "random", "smooth", "abrupt", "shaky"
_STRESS = {SMOOTH: SmoothPolicy, ABRUPT: AbruptPolicy}
NAMED = (EXPERT, RANDOM, *_STRESS, SHAKY)


class ExpertPolicy:
    """The scripted expert of a robot as a policy: it sees the simulator's state, not the observation."""

    version = PolicyVersion(0, EXPERT)
    cameras: tuple[str, ...] = ()
    chunk_steps = 1

    def __init__(self, robot: Robot) -> None:
        self._robot = robot

    def act(self, observation: Observation, rng: np.random.Generator) -> NDArray[np.float32]:
        del observation, rng
        return expert_of(self._robot).act()[None]


class ShakyPolicy:
    """The scripted expert with a hand that shakes in every joint, the grippers too: AR(0.8) noise.

    A policy of one episode: its noise goes on from act to act.

    Args:
        kick_rad: Standard deviation of what each step adds; that of the noise is 1.7 times as much.
    """

    version = PolicyVersion(0, SHAKY)
    cameras: tuple[str, ...] = ()
    chunk_steps = 1

    def __init__(self, robot: Robot, kick_rad: float = 0.04) -> None:
        self._robot, self._kick_rad = robot, kick_rad
        self._noise_rad = np.zeros(robot.spec.action_dim)

    def act(self, observation: Observation, rng: np.random.Generator) -> NDArray[np.float32]:
        del observation
        self._noise_rad = 0.8 * self._noise_rad + rng.normal(0, self._kick_rad, len(self._noise_rad))
        return (expert_of(self._robot).act() + self._noise_rad).astype(np.float32)[None]


def check_actor(name: str) -> None:
    """Raises `ConfigurationError` unless `name` is one of `NAMED` or an existing file."""
    if name not in NAMED and not Path(name).is_file():
        raise ConfigurationError(
            f"No policy {name!r}; allowed: {', '.join(NAMED)}, or the file of a checkpoint. Make one with "
            f"`sop-bench pretrain --output policy.safetensors`."
        )


def actor(name: str, robot: Robot) -> Policy:
    """The policy called `name`, for `robot`.

    Raises:
        ConfigurationError: There is no such policy, or the robot has no expert.
        CorruptDataError: The checkpoint is damaged.
    """
    check_actor(name)
    if name == EXPERT:
        return ExpertPolicy(robot)
    if name == SHAKY:
        return ShakyPolicy(robot)
    if name == RANDOM:
        return RandomPolicy(robot.spec)
    if name in _STRESS:
        return _STRESS[name](robot.spec)
    from sop_bench.fleet.warm import policy_for  # brings in torch

    return policy_for(Path(name))


def execute_steps(name: str) -> int | None:
    """Steps of a chunk of the policy called `name` that are executed at once; ``None`` for its own choice."""
    return _STRESS[name].chunk_steps if name in _STRESS else None

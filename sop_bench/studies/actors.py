"""Who acts in an episode that somebody watches or measures: the expert, chance, or a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import ConfigurationError
from sop_bench.policy.base import Policy, PolicyVersion, RandomPolicy
from sop_bench.robot import Observation, Robot
from sop_bench.supervision.operator import expert_of

EXPERT, RANDOM = "expert", "random"


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


def check_actor(name: str) -> None:
    """Raises `ConfigurationError` unless `name` is ``expert``, ``random`` or an existing file."""
    if name not in (EXPERT, RANDOM) and not Path(name).is_file():
        raise ConfigurationError(
            f"No policy {name!r}; allowed: expert, random, or the file of a checkpoint. Make one with "
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
    if name == RANDOM:
        return RandomPolicy(robot.spec)
    from sop_bench.fleet.warm import policy_for  # brings in torch

    return policy_for(Path(name))

"""Policies that wrap another policy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sop_bench.policy.base import Policy, PolicyVersion, execution_horizon
from sop_bench.robot import Observation


@dataclass(frozen=True)
class WrappedPolicy:
    """`policy` as it is; wrappers change its `act`."""

    policy: Policy

    @property
    def version(self) -> PolicyVersion:
        return self.policy.version

    @property
    def cameras(self) -> tuple[str, ...]:
        return self.policy.cameras

    @property
    def chunk_steps(self) -> int:
        return self.policy.chunk_steps

    def execute_steps(self, instruction: str) -> int:
        return execution_horizon(self.policy, instruction)

    def act(self, observation: Observation, rng: np.random.Generator) -> NDArray[np.float32]:
        return self.policy.act(observation, rng)

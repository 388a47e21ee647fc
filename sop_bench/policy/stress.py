"""Random policies that are hard on physics: far targets reached smoothly, and targets that jump.

`sop_bench.policy.base.RandomPolicy` walks at random around where the arms are; these go everywhere, and lean
on what is in the way. Execute their chunks whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sop_bench.policy.base import PolicyVersion
from sop_bench.robot import Observation, RobotSpec

SMOOTH_STEPS = (5, 10, 20)  # from one target to the next; each fills a chunk without a rest
ABRUPT_STEPS = (1, 2, 4, 8)
BEYOND_LIMITS = 0.25  # of the range on either side: a third of the abrupt targets is clipped to a limit


class SmoothPolicy:
    """Goes to targets anywhere within the joint limits, starting and ending gently, one after another."""

    version = PolicyVersion(0, "smooth")
    cameras: tuple[str, ...] = ()
    chunk_steps = max(SMOOTH_STEPS)

    def __init__(self, spec: RobotSpec):
        self._lower, self._upper = spec.joint_lower_rad, spec.joint_upper_rad

    def act(self, observation: Observation, rng: np.random.Generator) -> NDArray[np.float32]:
        steps = int(rng.choice(SMOOTH_STEPS))
        share = np.arange(1, steps + 1)[:, None] / steps
        gentle = share**3 * (10 - 15 * share + 6 * share**2)  # least jerk
        here, moves = observation.commanded_rad, []
        for _ in range(self.chunk_steps // steps):
            target = rng.uniform(self._lower, self._upper)
            moves.append(here + gentle * (target - here))
            here = target
        return np.concatenate(moves).astype(np.float32)


class AbruptPolicy:
    """Asks for targets anywhere, often at a limit, each at once and for some steps."""

    version = PolicyVersion(0, "abrupt")
    cameras: tuple[str, ...] = ()
    chunk_steps = max(ABRUPT_STEPS)

    def __init__(self, spec: RobotSpec):
        self._lower, self._upper = spec.joint_lower_rad, spec.joint_upper_rad

    def act(self, observation: Observation, rng: np.random.Generator) -> NDArray[np.float32]:
        del observation
        steps = int(rng.choice(ABRUPT_STEPS))
        beyond = BEYOND_LIMITS * (self._upper - self._lower)
        shape = self.chunk_steps // steps, len(beyond)
        targets = rng.uniform(self._lower - beyond, self._upper + beyond, shape)
        return np.repeat(np.clip(targets, self._lower, self._upper), steps, axis=0).astype(np.float32)

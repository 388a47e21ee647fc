"""The gate in front of every robot: no action reaches joints unchecked.

It refuses what is not finite, and clips the rest to the joint limits and to the largest change that the
robot allows per control step. The clipped action is what is recorded as executed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import RobotSpec, allowed_action


class SafetyGate:
    """Limits joint targets relative to the ones last executed.

    Args:
        spec: The robot in front of which the gate stands.
    """

    def __init__(self, spec: RobotSpec):
        self._spec = spec

    def __call__(
        self, action_rad: NDArray[np.floating], commanded_rad: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """The nearest allowed action, (action_dim,).

        Raises:
            ContractError: Wrong shape, NaN or infinity.
        """
        return allowed_action(self._spec, action_rad, commanded_rad)

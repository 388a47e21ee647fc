"""Viscous damping of joints, as MuJoCo's specification wants it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def linear(coefficient: float) -> NDArray[np.float64]:
    """The value of `MjsJoint.damping` for a moment (or force) of ``-coefficient * speed``.

    In MuJoCo 3.17 a joint's damping is a polynomial in the speed with three coefficients. Filling all of
    them with one number asks for ``d (v + v |v| + v^3)``: a product that landed turning was braked so hard
    that the solver threw it off at 7 m/s.
    """
    return np.array([coefficient, 0.0, 0.0])

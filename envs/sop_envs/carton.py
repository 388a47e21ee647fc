"""A carton with four sprung flaps: a tree of MuJoCo primitives, and the crease that remembers.

Each flap hangs on a hinge whose angle is 0 when it lies flat over the opening and grows as it opens; pi/2 is
upright. Cardboard is elastic up to a yield angle and plastic beyond it: the angle at which a crease comes to
rest follows the flap at that distance. A hinge spring towards zero and the constant moment
``stiffness * rest`` in ``data.qfrc_applied`` add up to a spring towards the rest angle, so all that a crease
remembers is part of MuJoCo's state, and is saved and restored with it.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_envs.damping import linear
from sop_envs.products import ARM_BIT, FIXTURE_BIT, PRODUCT_BIT, yaw_quat

Rgb = tuple[float, float, float]

FLAPS = ("near", "far", "right", "left")
"""The two minor flaps and the two major ones, in the order in which they close; the last one latches."""
NEAR, FAR, RIGHT, LEFT = range(4)
MINORS, MAJORS = (NEAR, FAR), (RIGHT, LEFT)

INWARD_RAD = (0.0, math.pi, math.pi / 2, -math.pi / 2)  # from its hinge to the free edge of a closed flap
HINGE_ABOVE_RIM_M = (0.0, 0.0, 0.0035, 0.0070)  # closed flaps lie on one another instead of in one another
WALL_M = 0.003  # thickness of walls and flaps
LOWEST_RAD, WIDEST_RAD = -0.12, 2.8

LATCH_RAD, LATCH_OTHERS_RAD, UNLATCH_RAD = 0.10, 0.21, 0.30
CREASE_STEPS = 5  # physics steps between updates of the creases, 20 ms

_FLAP_KG = 0.006
_DAMPING, _FRICTION_LOSS, _ARMATURE = 0.002, 0.001, 5e-5
_FRICTION = 0.8  # of the fingers' rubber on cardboard; the flap decides it
_SOLIMP = [0.97, 0.997, 0.001, 0.5, 2.0]
"""Of a flap's contacts. At .9999, two boxes of a hand push it opposite ways with 30 kN, and throw a wrist."""
_INSIDE: Rgb = (0.78, 0.66, 0.50)
_PROUD_M = 0.0006
_BOX = mujoco.mjtGeom.mjGEOM_BOX


@dataclass(frozen=True)
class Carton:
    """One carton. Its x side carries the major flaps, its y side the minor ones.

    Attributes:
        size_m: Outer (x, y, height) without flaps.
        flap_m: Lengths of the four flaps from hinge to free edge, in the order of `FLAPS`.
        stiffness_nm_per_rad: Of each crease.
        yield_rad: How far a flap springs back from where it was bent to.
        colour_rgb, print_rgb: Of the outside, and of what is printed on it.
        print_name: ``"plain"``, ``"striped"``, ``"banded"`` or ``"dotted"``.
    """

    size_m: tuple[float, float, float]
    flap_m: tuple[float, float, float, float]
    stiffness_nm_per_rad: tuple[float, float, float, float]
    yield_rad: tuple[float, float, float, float]
    colour_rgb: Rgb
    print_rgb: Rgb
    print_name: str

    def hinge_m(self, flap: int) -> tuple[float, float, float]:
        """Middle of the hinge, from the middle of the carton's base."""
        x, y, height = self.size_m
        out = (x if flap in MINORS else y) / 2
        angle = INWARD_RAD[flap]
        return -out * math.cos(angle), -out * math.sin(angle), height + HINGE_ABOVE_RIM_M[flap]

    def half_width_m(self, flap: int) -> float:
        """Half the extent of a flap along its hinge; minors leave room to pass between upright majors."""
        x, y, _ = self.size_m
        return (y / 2 - WALL_M - 0.004) if flap in MINORS else (x / 2 - 0.002)


def add_carton(spec: mujoco.MjSpec, carton: Carton, position_m: Sequence[float], yaw_rad: float) -> None:
    """Stand `carton` at a pose (world; the middle of its base), fixed; joints are named as in `FLAPS`."""
    x, y, height = carton.size_m
    base = spec.worldbody.add_body(name="carton", pos=position_m, quat=yaw_quat(yaw_rad))

    def wall(centre: tuple[float, float, float], half: tuple[float, float, float], rgb: Rgb) -> None:
        base.add_geom(
            type=_BOX, pos=centre, size=half, rgba=(*rgb, 1), contype=FIXTURE_BIT, conaffinity=ARM_BIT,
            friction=[_FRICTION, 0.005, 0.0001],
        )  # fmt: skip

    t = WALL_M / 2
    wall((0, 0, t), (x / 2, y / 2, t), _INSIDE)
    for side in (-1, 1):
        wall((side * (x / 2 - t), 0, height / 2), (t, y / 2, height / 2), carton.colour_rgb)
        wall((0, side * (y / 2 - t), height / 2), (x / 2, t, height / 2), carton.colour_rgb)
    if carton.print_name == "banded":
        band, proud = 0.12 * height, t + _PROUD_M
        for side in (-1, 1):
            _picture(base, (side * (x / 2 - t), 0, 0.62 * height), (proud, y / 2, band), carton, True)
            _picture(base, (0, side * (y / 2 - t), 0.62 * height), (x / 2, proud, band), carton, True)
    for flap in range(len(FLAPS)):
        _add_flap(spec, base, carton, flap)
    spec.add_exclude(bodyname1=FLAPS[NEAR], bodyname2=FLAPS[FAR])
    latch = spec.add_equality(name="latch", type=mujoco.mjtEq.mjEQ_JOINT, name1=FLAPS[LEFT])
    latch.data[:5] = 0.0
    latch.active, latch.solref = False, [0.02, 1]


def _add_flap(spec: mujoco.MjSpec, base: mujoco.MjsBody, carton: Carton, flap: int) -> None:
    """In the flap's frame x points from the hinge to the free edge, z away from the contents."""
    length, half_width, t = carton.flap_m[flap], carton.half_width_m(flap), WALL_M / 2
    body = base.add_body(
        name=FLAPS[flap],
        pos=carton.hinge_m(flap),
        quat=yaw_quat(INWARD_RAD[flap]),
        sleep=mujoco.mjtSleepPolicy.mjSLEEP_NEVER,  # a sleeping flap would not feel its crease move
    )
    hinge = body.add_joint(
        name=FLAPS[flap],
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=(0, -1, 0),
        range=(LOWEST_RAD, WIDEST_RAD),
        limited=True,
    )
    hinge.stiffness = np.array([carton.stiffness_nm_per_rad[flap], 0.0, 0.0])
    hinge.damping = linear(_DAMPING)
    hinge.frictionloss, hinge.armature = _FRICTION_LOSS, _ARMATURE
    hinge.solimp_friction, hinge.solref_friction = [0.999, 0.9999, 0.001, 0.5, 2.0], [0.008, 1]
    body.add_geom(
        name=FLAPS[flap],
        type=_BOX,
        pos=(length / 2, 0, 0),
        size=(length / 2, half_width, t),
        rgba=(*carton.colour_rgb, 1),
        mass=_FLAP_KG,
        contype=PRODUCT_BIT,
        conaffinity=PRODUCT_BIT | ARM_BIT,
        condim=3,
        priority=2,
        friction=[_FRICTION, 0.005, 0.0001],
        solref=[0.01, 1],
        solimp=_SOLIMP,
    )
    spec.add_exclude(bodyname1="carton", bodyname2=FLAPS[flap])
    inner = carton.half_width_m(flap) - 0.001
    _picture(body, (length / 2, 0, -t), (length / 2 - 0.001, inner, _PROUD_M / 2), carton, False)
    match carton.print_name:
        case "striped":
            for side in (-0.5, 0.5):
                stripe = length / 2, 0.006, _PROUD_M
                _picture(body, (length / 2, side * half_width, t), stripe, carton, True)
        case "banded":
            _picture(body, (0.7 * length, 0, t), (0.16 * length, half_width, _PROUD_M), carton, True)
        case "dotted":
            _picture(body, (0.55 * length, 0, t), (0.011, 0.011, _PROUD_M), carton, True)


def _picture(
    body: mujoco.MjsBody,
    centre: tuple[float, float, float],
    half: tuple[float, float, float],
    carton: Carton,
    printed: bool,
) -> None:
    """Something that is only looked at: print outside, bare cardboard inside."""
    rgb = carton.print_rgb if printed else _INSIDE
    body.add_geom(type=_BOX, pos=centre, size=half, rgba=(*rgb, 1), contype=0, conaffinity=0, mass=0, group=1)


class Flaps:
    """Angles, creases and latch of the carton in a compiled model; all state is in `data`."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, carton: Carton) -> None:
        self._data, self.carton = data, carton
        joints = [model.joint(name) for name in FLAPS]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._dof = np.array([joint.dofadr[0] for joint in joints])
        self._latch = model.equality("latch").id
        self._stiffness = np.array(carton.stiffness_nm_per_rad)
        self._yield = np.array(carton.yield_rad)

    @property
    def angles_rad(self) -> NDArray[np.float64]:
        """(4,), in the order of `FLAPS`; 0 is closed."""
        return self._data.qpos[self._qpos]

    @property
    def rest_rad(self) -> NDArray[np.float64]:
        """(4,): where each crease would come to rest, were the flap weightless and free."""
        return self._data.qfrc_applied[self._dof] / self._stiffness

    @property
    def latched(self) -> bool:
        return bool(self._data.eq_active[self._latch])

    def pose(self, angles_rad: NDArray[np.float64], rest_rad: NDArray[np.float64] | None = None) -> None:
        """Put the flaps at rest at `angles_rad`, (4,); unlatched."""
        self._data.qpos[self._qpos] = angles_rad
        self._data.qvel[self._dof] = 0.0
        self._data.eq_active[self._latch] = 0
        self._data.qfrc_applied[self._dof] = self._stiffness * (angles_rad if rest_rad is None else rest_rad)

    def left_is_on_top(self) -> bool:
        """At the free edge of the left flap, the right one lies below it."""
        angles, carton = self._data.qpos[self._qpos], self.carton
        left, right = float(angles[LEFT]), float(angles[RIGHT])
        across = carton.size_m[1] - carton.flap_m[LEFT] * math.cos(left)  # from the right hinge
        height = HINGE_ABOVE_RIM_M[LEFT] + carton.flap_m[LEFT] * math.sin(left)
        return height > HINGE_ABOVE_RIM_M[RIGHT] + across * math.tan(min(right, 1.4))

    def settle(self) -> None:
        """Let creases yield and the latch snap or spring open, after some steps of physics."""
        angles = self._data.qpos[self._qpos]
        rest = np.clip(self.rest_rad, angles - self._yield, angles + self._yield)
        self._data.qfrc_applied[self._dof] = self._stiffness * rest
        if self.latched:
            self._data.eq_active[self._latch] = angles[LEFT] < UNLATCH_RAD
        elif angles[LEFT] < LATCH_RAD and angles[:LEFT].max() < LATCH_OTHERS_RAD:
            self._data.eq_active[self._latch] = self.left_is_on_top()

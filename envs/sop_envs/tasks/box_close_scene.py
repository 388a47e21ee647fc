"""The scene of ``box/close``: one carton in a fixture of rails between the two arms.

All positions are in the desk's frame (world: x away from the robot, y to its left, z up, metres); x and y of
the carton follow its yaw.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Split
from sop_envs.carton import LOWEST_RAD, Carton, Rgb, add_carton
from sop_envs.finger import Finger, Reach
from sop_envs.products import yaw_quat
from sop_envs.so101 import JAW_CLOSED_RAD, JOINT_NAMES, SIDES
from sop_envs.station import Station
from sop_envs.workcell import add_camera, disturb_view, workcell

COLOURS: dict[str, Rgb] = {
    "brown": (0.55, 0.38, 0.22),
    "white": (0.90, 0.90, 0.88),
    "grey": (0.50, 0.53, 0.56),
    "red": (0.78, 0.16, 0.15),
    "yellow": (0.93, 0.78, 0.20),
    "green": (0.22, 0.55, 0.28),
    "blue": (0.16, 0.32, 0.72),
    "pink": (0.93, 0.55, 0.68),
}
PRINTS = ("plain", "striped", "banded", "dotted")
SIZES = ("small", "large")
_DARK_INK, _LIGHT_INK = (0.12, 0.13, 0.16), (0.95, 0.95, 0.92)
_DARK_COLOURS = frozenset({"brown", "grey", "red", "green", "blue"})
SIDE_RANGES_M = {  # (x, y, height)
    "small": ((0.076, 0.081), (0.102, 0.108), (0.040, 0.046)),
    "large": ((0.089, 0.095), (0.118, 0.125), (0.048, 0.054)),
}
FLAP_SHARES = (0.46, 0.46, 0.50, 0.665)  # of the carton's x for minors, of its y for majors
STIFFNESS_NM_PER_RAD, STIFFNESS_GAINS = 0.03, (0.7, 1.3)
YIELD_RAD, YIELD_GAINS = 0.30, (0.8, 1.2)
CARTON_X_M, CARTON_Y_M, CARTON_YAW_RAD = (0.170, 0.195), (-0.015, 0.015), math.radians(10)
OPEN_RAD = (math.radians(100), math.radians(130))

WORDINGS = (
    "close the {}",
    "shut the {}",
    "fold the {} shut",
)
_HELD_OUT_ONE_IN = 5
HOME_TIP_M = {"left": (0.170, 0.185, 0.125), "right": (0.170, -0.185, 0.125)}
HOME_PITCH_RAD, _HOME_SPREAD_M = 1.10, (0.012, 0.015, 0.012)
_RAIL = (0.33, 0.35, 0.38, 1)


@dataclass(frozen=True)
class Layout:
    """Where everything is at the start.

    Attributes:
        position_m, yaw_rad: Of the middle of the carton's base, (x, y), world.
        angles_rad: Of the flaps, (4,), in the order of `sop_envs.carton.FLAPS`.
        arms_rad: The twelve joints.
    """

    carton: Carton
    size_name: str
    colour_name: str
    wording: str
    position_m: tuple[float, float]
    yaw_rad: float
    angles_rad: NDArray[np.float64]
    arms_rad: NDArray[np.float64]

    @property
    def instruction(self) -> str:
        return self.wording.format(f"{self.size_name} {self.colour_name} {self.carton.print_name} box")


def kinds_of(split: Split) -> list[tuple[str, str, str]]:
    """(size, colour, print) of the split: a fifth of the 64 combinations, by a Latin rule, is held out."""
    combinations = itertools.product(enumerate(SIZES), enumerate(COLOURS), enumerate(PRINTS))
    return [
        (size, colour, printed)
        for (i, size), (j, colour), (k, printed) in combinations
        if ((j + 2 * k + 3 * i) % _HELD_OUT_ONE_IN == 0) == (split == "test")
    ]


def draw_carton(rng: np.random.Generator, split: Split) -> tuple[Carton, str, str]:
    """A carton, the word for its size and the word for its colour."""
    kinds = kinds_of(split)
    size_name, colour_name, print_name = kinds[int(rng.integers(len(kinds)))]
    x, y, height = (float(rng.uniform(*sides)) for sides in SIDE_RANGES_M[size_name])
    near, far, right, left = (share * side for share, side in zip(FLAP_SHARES, (x, x, y, y), strict=True))
    stiffness = (STIFFNESS_NM_PER_RAD * rng.uniform(*STIFFNESS_GAINS, 4)).tolist()
    yields = (YIELD_RAD * rng.uniform(*YIELD_GAINS, 4)).tolist()
    colour = np.clip(np.array(COLOURS[colour_name]) * rng.uniform(0.92, 1.08), 0, 0.95).tolist()
    carton = Carton(
        size_m=(x, y, height),
        flap_m=(near, far, right, left),
        stiffness_nm_per_rad=(stiffness[0], stiffness[1], stiffness[2], stiffness[3]),
        yield_rad=(yields[0], yields[1], yields[2], yields[3]),
        colour_rgb=(colour[0], colour[1], colour[2]),
        print_rgb=_LIGHT_INK if colour_name in _DARK_COLOURS else _DARK_INK,
        print_name=print_name,
    )
    return carton, size_name, colour_name


def draw_layout(rng: np.random.Generator, split: Split) -> Layout:
    """The start of an episode: all flaps open, both arms drawn back."""
    carton, size_name, colour_name = draw_carton(rng, split)
    position = float(rng.uniform(*CARTON_X_M)), float(rng.uniform(*CARTON_Y_M))
    yaw = float(rng.uniform(-CARTON_YAW_RAD, CARTON_YAW_RAD))
    angles = rng.uniform(*OPEN_RAD, 4)
    arms = []
    for side in SIDES:
        tip = np.array(HOME_TIP_M[side]) + rng.uniform(-1, 1, 3) * _HOME_SPREAD_M
        arms.append(_arm_pose(side, tip, HOME_PITCH_RAD, 0.0))
    wording = WORDINGS[int(rng.integers(len(WORDINGS)))]
    return Layout(carton, size_name, colour_name, wording, position, yaw, angles, np.concatenate(arms))


def draw_still(rng: np.random.Generator, split: Split) -> Layout:
    """A random picture: every flap anywhere or closed, both arms anywhere above the carton or at rest."""
    start = draw_layout(rng, split)
    angles = rng.uniform(0.0, 2.5, 4)
    closed = rng.random(4) < 0.35
    angles = np.where(closed, rng.uniform(LOWEST_RAD / 2, 0.2, 4), angles)
    arms = [start.arms_rad[:6], start.arms_rad[6:]]
    for index, side in enumerate(SIDES):
        if rng.random() < 0.7:
            sign = 1 if side == "left" else -1
            x, y, z = rng.uniform((0.11, -0.03, 0.05), (0.29, 0.16, 0.16))
            tip = np.array([x, sign * y, z])
            yaw = -sign * rng.uniform(-0.3, math.pi / 2)
            arms[index] = _arm_pose(side, tip, rng.uniform(0.9, 1.5), yaw, arms[index])
            arms[index][5] = rng.uniform(JAW_CLOSED_RAD, 0.6) if rng.random() < 0.3 else JAW_CLOSED_RAD
    return Layout(
        start.carton, start.size_name, start.colour_name, start.wording, start.position_m, start.yaw_rad,
        angles, np.concatenate(arms),
    )  # fmt: skip


def _arm_pose(
    side: str,
    tip_m: NDArray[np.float64],
    pitch_rad: float,
    yaw_rad: float,
    otherwise: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Six joints of an arm whose closed fingers end at `tip_m`."""
    x, y, z = tip_m.tolist()
    joints = Finger(side).solve(Reach((x, y, z), pitch_rad, yaw_rad))
    if joints is None:
        assert otherwise is not None  # the home box is well within reach
        return otherwise.copy()
    return np.array([*joints, JAW_CLOSED_RAD])


@lru_cache(maxsize=16)
def _furnished(station: Station) -> mujoco.MjSpec:
    """The desk of `station` with its cameras; building it takes longer than copying it."""
    spec = workcell(station)
    z = station.table_height_m
    add_camera(spec, "front", (0.180, 0.0, z + 0.052), 0.70, 0.0, math.radians(48), 20.5)
    add_camera(spec, "viewer", (0.165, 0.0, z + 0.06), 0.62, 0.62, math.radians(33), 34.0)
    disturb_view(spec, "front", station)
    return spec


def build(station: Station, layout: Layout, view: Station | None = None) -> mujoco.MjModel:
    """Compile the desk with the carton of `layout`; `view` disturbs camera and lamp further."""
    spec, carton = _furnished(station).copy(), layout.carton
    (x, y), z = layout.position_m, station.table_height_m
    add_carton(spec, carton, (x, y, z), layout.yaw_rad)
    rails = spec.worldbody.add_body(name="fixture", pos=(x, y, z), quat=yaw_quat(layout.yaw_rad))
    half_x, half_y, rail = carton.size_m[0] / 2, carton.size_m[1] / 2, 0.004
    for side in (-1, 1):  # the rails that hold the carton; looked at only, for the carton does not move
        for centre, half in (
            ((side * (half_x + rail), 0, rail), (rail, half_y + 2 * rail, rail)),
            ((0, side * (half_y + rail), rail), (half_x + 2 * rail, rail, rail)),
        ):
            rails.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX, pos=centre, size=half, rgba=_RAIL, contype=0, conaffinity=0
            )
    if view is not None:
        disturb_view(spec, "front", view)
    model = spec.compile()
    assert model.joint(len(JOINT_NAMES)).name == "near"  # the arms' joints come first, as the robot assumes
    return model

"""The scene of the cloth tasks: a cloth with pull tabs on the desk, within reach of both arms.

World frame, metres (x away from the robot, y to its left); heights count from the table top. The cloth's own
frame has its origin in the middle of what lies there, x towards the far edge and y towards the left one.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Split
from sop_envs import kinematics as kin
from sop_envs.catalogue import Rgb
from sop_envs.cloth import TAB_RADIUS_M, Cloth, Tab, add_cloth, set_physics
from sop_envs.so101 import FIXED_FACE_M, SIDES, jaw_around_rad
from sop_envs.station import Station
from sop_envs.workcell import BASE_Y_M, add_camera, disturb_view, workcell

MIDDLE_M = (0.230, 0.0)
SHIFT_M, TURN_RAD = 0.02, math.radians(12)
WRINKLE_M = 0.008  # greatest height of a wave
ROWS, COLUMNS = 7, 5
NEAR_TAB_M, FAR_TAB_M = 0.011, 0.018  # from its corner: room for fingers beside the cloth and other tabs
HOME_TCP_M = {"left": (0.225, 0.145, 0.110), "right": (0.225, -0.145, 0.110)}
HOME_YAW_RAD = math.pi  # the jaws open towards the robot
READY_JAW_RAD = 0.45
GRIPPING_SHARE = 0.5  # of the hands in stills

COLOURS: dict[str, Rgb] = {
    "red": (0.78, 0.16, 0.15),
    "orange": (0.92, 0.50, 0.13),
    "yellow": (0.90, 0.78, 0.22),
    "green": (0.20, 0.55, 0.27),
    "blue": (0.17, 0.32, 0.70),
    "purple": (0.47, 0.25, 0.60),
    "pink": (0.90, 0.55, 0.66),
    "grey": (0.45, 0.47, 0.50),
}
TRIMS: tuple[Rgb, ...] = ((0.96, 0.95, 0.92), (0.15, 0.16, 0.18), (0.16, 0.62, 0.68), (0.93, 0.42, 0.30))
TABS = ("near_left", "near_right", "far_left", "far_right")
THICK_M, THIN_M = 0.004, 0.002  # half the thickness
HALVED_WIDTH = 1.25  # of the length, when it is to be folded along its length first
EDGES_M = (0.130, 0.140, 0.150)
SIDES_NOT_CUT_STRAIGHT_M = 0.004


@dataclass(frozen=True)
class Weave:
    """What a cloth is made of."""

    mass_kg: float
    friction: float
    bending_pa: float


WEAVES = (Weave(0.017, 1.0, 0.0), Weave(0.020, 1.2, 0.0), Weave(0.024, 1.3, 1e4), Weave(0.022, 1.1, 3e4))
_HELD_OUT_ONE_IN = 4
_LOOK_AT_M = (0.218, 0.0, 0.010)


@dataclass(frozen=True)
class Layout:
    """Where everything is at the start, and which corner goes where.

    Attributes:
        colour: In words.
        corners: Vertices (row, column) near left, near right, far left, far right of what lies there.
        lying_m: (rows, columns, 2), the vertices lying as they should before the fold, in the cloth's frame.
        flat_m: (rows, columns, 3), the unfolded cloth, from which displacements count.
        vertices_m: (rows, columns, 3).
        arms_rad: (12,).
        gripping: (left, right), true if the hand of a still holds its far tab.
    """

    cloth: Cloth
    colour: str
    corners: tuple[tuple[int, int], ...]
    lying_m: NDArray[np.float64]
    flat_m: NDArray[np.float64]
    vertices_m: NDArray[np.float64]
    yaw_rad: float
    arms_rad: NDArray[np.float64]
    gripping: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class Lying:
    """A cloth as somebody left it on the desk: spread out, or folded once already.

    Attributes:
        corners, lying_m: As in `Layout`.
        heights_m: (columns,) of the vertices.
        shift_m: Of the unfolded cloth's middle from that of what lies there, to its left.
    """

    cloth: Cloth
    colour: str
    corners: tuple[tuple[int, int], ...]
    lying_m: NDArray[np.float64]
    heights_m: NDArray[np.float64]
    shift_m: float = 0.0


def draw_kind(rng: np.random.Generator, split: Split) -> tuple[str, Rgb, float, Weave]:
    """Colour, trim, edge and weave; a quarter of the 384 kinds is held out for the test split.

    Every value occurs in both splits: what is new in a test cloth is the combination.
    """
    counts = len(COLOURS), len(TRIMS), len(EDGES_M), len(WEAVES)
    while True:
        colour, trim, edge, weave = (int(rng.integers(count)) for count in counts)
        if ((colour + trim + edge + weave) % _HELD_OUT_ONE_IN == 0) == (split == "test"):
            return list(COLOURS)[colour], TRIMS[trim], EDGES_M[edge], WEAVES[weave]


def draw_spread(rng: np.random.Generator, split: Split) -> Lying:
    """A square cloth, spread out, with a tab at each corner."""
    colour, trim, edge, weave = draw_kind(rng, split)
    length, width = (edge + rng.uniform(-1, 1, 2) * SIDES_NOT_CUT_STRAIGHT_M).tolist()
    corners = (0, COLUMNS - 1), (0, 0), (ROWS - 1, COLUMNS - 1), (ROWS - 1, 0)
    cloth = _sew(colour, trim, weave, length, width, corners, THICK_M)
    return Lying(cloth, colour, corners, cloth.flat_m(), np.full(COLUMNS, cloth.radius_m))


def draw_halved(rng: np.random.Generator, split: Split) -> Lying:
    """A longer cloth, folded once along its length; tabs at the crease and at the lower open corners.

    The crease is on the left or on the right. A stitch joins the layers at each open corner, so that a hand
    that holds the tab of the lower one has both. These cloths have no bending stiffness: a stiff first fold
    springs open under the second.
    """
    colour, trim, edge, weave = draw_kind(rng, split)
    weave = replace(weave, bending_pa=0.0)
    length, width = (edge + rng.uniform(-1, 1, 2) * SIDES_NOT_CUT_STRAIGHT_M).tolist()
    middle, last = COLUMNS // 2, ROWS - 1
    crease_left = bool(rng.random() < 0.5)
    left, right = (middle, 0) if crease_left else (COLUMNS - 1, middle)
    corners = (0, left), (0, right), (last, left), (last, right)
    cloth = _sew(colour, trim, weave, length, HALVED_WIDTH * width, corners, THIN_M)
    stitches = tuple(((row, 0), (row, COLUMNS - 1)) for row in (0, last))
    cloth = replace(cloth, stitches=stitches)
    lying, sign = cloth.flat_m(), 1 if crease_left else -1
    shift = sign * cloth.width_m / 4
    lying[..., 1] = shift - sign * np.abs(lying[..., 1])
    outer = sign * (np.arange(COLUMNS) - middle)  # below 0: under the crease; above: over it
    return Lying(cloth, colour, corners, lying, cloth.radius_m * (2 + np.sign(outer)), shift)


def _sew(
    colour: str,
    trim: Rgb,
    weave: Weave,
    length_m: float,
    width_m: float,
    corners: tuple[tuple[int, int], ...],
    radius_m: float,
) -> Cloth:
    """A cloth with tabs near left, near right, far left and far right of what will lie on the desk."""
    offsets = (-NEAR_TAB_M, 0.0), (-NEAR_TAB_M, 0.0), (0.0, FAR_TAB_M), (0.0, -FAR_TAB_M)
    tabs = tuple(Tab(*tab) for tab in zip(TABS, corners, offsets, strict=True))
    return Cloth(
        ROWS,
        COLUMNS,
        length_m,
        width_m,
        tabs,
        COLOURS[colour],
        trim,
        radius_m,
        weave.mass_kg,
        weave.friction,
        weave.bending_pa,
    )


def lay_out(rng: np.random.Generator, lying: Lying) -> Layout:
    """The start of an episode: the cloth somewhere, turned a little, with a wave or two in it."""
    cloth, (place, yaw) = lying.cloth, _draw_place(rng)
    vertices = _stand(np.concatenate([lying.lying_m, _column_heights(lying)], axis=-1), place, yaw)
    wave = rng.uniform(-1, 1, 2) * 2 * math.pi / cloth.length_m
    phase, height = rng.uniform(0, 2 * math.pi), WRINKLE_M * rng.random()
    vertices[..., 2] += height / 2 * (1 + np.sin(lying.lying_m @ wave + phase))
    flat = _unfolded(lying, place, yaw)
    return Layout(cloth, lying.colour, lying.corners, lying.lying_m, flat, vertices, yaw, draw_home(rng))


def pose_still(rng: np.random.Generator, lying: Lying) -> Layout:
    """A random picture: any stage of the fold, each side for itself; hands on their tabs or anywhere."""
    cloth, (place, yaw) = lying.cloth, _draw_place(rng)
    stage = str(rng.choice(["flat", "under way", "folded"], p=[0.3, 0.5, 0.2]))
    reach = {"flat": (0.97, 1.0), "under way": (0.0, 1.0), "folded": (-0.05, 0.1)}[stage]
    ends = cloth.length_m * np.clip(rng.uniform(*reach) + 0.06 * rng.standard_normal(2), -0.15, 0.995)
    layers = lying.heights_m.max() + cloth.radius_m
    lifts = rng.uniform(0.0, 0.07, 2) if stage == "under way" else np.full(2, layers)
    vertices = np.concatenate([lying.lying_m, _column_heights(lying)], axis=-1)
    across = np.ptp(lying.lying_m[0, :, 1])
    for column, y in enumerate(lying.lying_m[0, :, 1]):
        share = 0.5 + y / across  # 0 on the right, 1 on the left
        end, lift = (share * both[0] + (1 - share) * both[1] for both in (ends, lifts))
        x, height, beyond = _profile(cloth, float(end), float(lift))
        above = lying.heights_m[column] - cloth.radius_m
        vertices[:, column, 0] = x
        vertices[:, column, 2] = cloth.radius_m + height + above * (1 - 2 * np.minimum(1, 2 * beyond))
        vertices[:, column, 2] = np.maximum(vertices[:, column, 2], cloth.radius_m)
    vertices = _stand(vertices, place, yaw)
    gripping = (bool(rng.random() < GRIPPING_SHARE), bool(rng.random() < GRIPPING_SHARE))
    arms: list[float] = []
    for side, corner in enumerate(lying.corners[2:]):
        outwards = np.array([-math.sin(yaw), math.cos(yaw), 0.0]) * (1 - 2 * side)
        tab = vertices[corner] + FAR_TAB_M * outwards
        arms += _still_arm(rng, SIDES[side], tab, yaw, gripping[side])
    flat = _unfolded(lying, place, yaw)
    return Layout(
        cloth, lying.colour, lying.corners, lying.lying_m, flat, vertices, yaw, np.array(arms), gripping
    )


def draw_home(rng: np.random.Generator) -> NDArray[np.float64]:
    """Both arms over the desk with open jaws, (12,)."""
    arms: list[float] = []
    for side in SIDES:
        tcp = np.array(HOME_TCP_M[side]) + rng.uniform(-1, 1, 3) * (0.02, 0.02, 0.015)
        arm = kin.steepest(tcp[0], tcp[1] - BASE_Y_M[side], tcp[2])
        assert arm is not None  # the home box is well within reach
        arms += [*arm, arm[0] + math.pi / 2 - HOME_YAW_RAD, READY_JAW_RAD]
    return np.array(arms)


def _draw_place(rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    return np.array(MIDDLE_M) + rng.uniform(-SHIFT_M, SHIFT_M, 2), float(rng.uniform(-TURN_RAD, TURN_RAD))


def _stand(
    points_m: NDArray[np.float64], place_m: NDArray[np.float64], yaw_rad: float
) -> NDArray[np.float64]:
    """Points (..., 3) from the cloth's frame to the world's."""
    cosine, sine = math.cos(yaw_rad), math.sin(yaw_rad)
    turned = points_m[..., :2] @ np.array([[cosine, sine], [-sine, cosine]]) + place_m
    return np.concatenate([turned, points_m[..., 2:]], axis=-1)


def _column_heights(lying: Lying) -> NDArray[np.float64]:
    return np.broadcast_to(lying.heights_m[None, :, None], (ROWS, COLUMNS, 1))


def _unfolded(lying: Lying, place_m: NDArray[np.float64], yaw_rad: float) -> NDArray[np.float64]:
    """(rows, columns, 3): the flat cloth such that what lies undermost is where it lies."""
    flat = lying.cloth.flat_m() + np.array([0.0, lying.shift_m])
    height = np.full((ROWS, COLUMNS, 1), lying.cloth.radius_m)
    return _stand(np.concatenate([flat, height], axis=-1), place_m, yaw_rad)


def _profile(cloth: Cloth, end_m: float, lift_m: float) -> tuple[NDArray[np.float64], ...]:
    """One column whose far end is `end_m` from the near edge and lifted: x, height, share beyond the crease.

    Flat up to the crease, and from there straight to the far end.
    """
    length, along = cloth.length_m, np.linspace(0, cloth.length_m, cloth.rows)
    lift = min(lift_m, 0.9 * math.sqrt(max(0.0, length**2 - end_m**2)))
    crease = (length**2 - end_m**2 - lift**2) / (2 * (length - end_m))
    beyond = np.clip((along - crease) / max(1e-6, length - crease), 0.0, None)
    x = np.where(along < crease, along, crease + beyond * (end_m - crease))
    return x - length / 2, beyond * lift, beyond


def _still_arm(
    rng: np.random.Generator, side: str, tab_m: NDArray[np.float64], yaw_rad: float, gripping: bool
) -> list[float]:
    """Six joints: around the tab, or with the TCP anywhere over this side of the desk."""
    jaw_yaw = yaw_rad + math.pi
    if gripping:
        away = FIXED_FACE_M + TAB_RADIUS_M
        tcp = tab_m - away * np.array([math.cos(jaw_yaw), math.sin(jaw_yaw), 0.0]) + [0.0, 0.0, 0.002]
        arm = kin.steepest(tcp[0], tcp[1] - BASE_Y_M[side], max(0.0105, tcp[2]))
        if arm is not None:
            return [*arm, arm[0] + math.pi / 2 - jaw_yaw, jaw_around_rad(2 * TAB_RADIUS_M)]
    while True:
        x, y, z = rng.uniform((0.10, -0.02, 0.02), (0.32, 0.16, 0.13))
        arm = kin.steepest(x, (y if side == "left" else -y) - BASE_Y_M[side], z)
        if arm is not None:
            roll = arm[0] + math.pi / 2 - jaw_yaw + rng.uniform(-0.5, 0.5)
            roll = float(np.clip(roll, kin.ARM_LOWER_RAD[4], kin.ARM_UPPER_RAD[4]))
            return [*arm, roll, float(rng.uniform(kin.GRIPPER_LOWER_RAD, 0.7))]


@lru_cache(maxsize=16)
def _furnished(station: Station) -> mujoco.MjSpec:
    """The desk of `station` with the cameras of these tasks; building it takes longer than copying it."""
    spec = workcell(station)
    set_physics(spec)
    add_camera(spec, "front", _LOOK_AT_M, 0.66, 0.0, math.radians(52), 20.0)
    add_camera(spec, "viewer", (0.19, 0, 0.05), 0.72, 0.42, math.radians(32), 36.0)
    disturb_view(spec, "front", station)
    return spec


def build(station: Station, layout: Layout, view: Station | None = None) -> mujoco.MjModel:
    """Compile the desk with the cloth of `layout`; `view` disturbs camera and lamp further."""
    spec = _furnished(station).copy()
    cloth = replace(layout.cloth, friction=layout.cloth.friction * station.friction_gain)
    add_cloth(spec, cloth, layout.flat_m + np.array([0.0, 0.0, station.table_height_m]), layout.yaw_rad)
    if view is not None:
        disturb_view(spec, "front", view)
    return spec.compile()

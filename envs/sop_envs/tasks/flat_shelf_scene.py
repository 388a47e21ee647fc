"""The scene of ``restock/flat-shelf``: a bin of products in front of a shelf with three facings.

All positions are in the base frame of the right arm (x away from the robot, y to its left, z up, metres),
heights are above the table top. "Left" and "right" are those of the front camera, which looks at the shelf
as a customer does: the left slot is on the robot's right.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Split
from sop_envs import kinematics as kin
from sop_envs.assortment import draw_products
from sop_envs.catalogue import Product
from sop_envs.products import add_product, yaw_quat
from sop_envs.so101 import FIXED_FACE_M, JAW_OPEN_RAD, jaw_around_rad
from sop_envs.station import Station
from sop_envs.workcell import BASE_Y_M, add_camera, add_fixture, disturb_view, workcell

BIN_X_M, BIN_Y_M = (0.165, 0.238), (-0.160, 0.160)  # where the middle of a product may start
SLOTS = ("left", "middle", "right")
SLOT_X_M, SLOT_Y_M = 0.300, (-0.080, 0.0, 0.080)
SPACING_M = 0.072  # an open jaw fits between neighbours
ITEM_COUNTS = (4, 5, 6)
ITEM_YAW_RAD = 0.5  # products face the robot roughly; stills show every yaw
GRIPPING_SHARE = 0.15  # stills with the target between the pads
OCCUPIED_SHARE = 0.3  # episodes with a product already in another facing

HOME_TCP_M = (0.205, 0.0, 0.125)
PARKED_LEFT_RAD = (1.25, -1.45, 1.35, 0.9, 0.0, 0.0)

_BOARD, _MAT, _BIN = (0.84, 0.85, 0.86, 1), (0.70, 0.74, 0.79, 1), (0.60, 0.54, 0.46, 1)
_LIP, _TAG, _INK = (0.50, 0.53, 0.57, 1), (0.98, 0.97, 0.92, 1), (0.12, 0.13, 0.15, 1)
_DARTS = 150
_LOOK_AT_M = (0.238, 0.0, 0.012)


@dataclass(frozen=True)
class Layout:
    """Where everything is at the start.

    Attributes:
        products: What stands on the desk; index 0 is the one that a fresh episode asks for.
        positions_m: (n, 2) in the right arm's base frame.
        yaws_rad: (n,).
        goal_item, goal_slot: What the instruction asks for.
        arm_rad: Right arm and gripper, (6,).
        in_hand: Pose of a goal item between the pads, for stills (base frame of the arm; unit quaternion).
    """

    products: tuple[Product, ...]
    positions_m: NDArray[np.float64]
    yaws_rad: NDArray[np.float64]
    goal_item: int
    goal_slot: int
    arm_rad: NDArray[np.float64]
    in_hand: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None


def _scatter(rng: np.random.Generator, count: int, spacing_m: float) -> NDArray[np.float64]:
    """`count` places in the bin, no two closer than `spacing_m`."""
    while True:
        darts = np.column_stack([rng.uniform(*BIN_X_M, _DARTS), rng.uniform(*BIN_Y_M, _DARTS)])
        clear = np.ones(_DARTS, bool)
        taken: list[int] = []
        while len(taken) < count and clear.any():
            taken.append(int(clear.argmax()))
            clear &= ((darts - darts[taken[-1]]) ** 2).sum(1) >= spacing_m**2
        if len(taken) == count:
            return darts[taken]


def draw_layout(rng: np.random.Generator, split: Split) -> Layout:
    """The start of an episode; the layout is drawn before the goal slot."""
    count = int(rng.choice(ITEM_COUNTS))
    products = draw_products(rng, split, count)
    positions = _scatter(rng, count, SPACING_M)
    yaws = rng.uniform(-ITEM_YAW_RAD, ITEM_YAW_RAD, count)
    goal_slot = int(rng.integers(len(SLOTS)))
    if rng.random() < OCCUPIED_SHARE:
        taken = (goal_slot + int(rng.integers(1, len(SLOTS)))) % len(SLOTS)
        positions[-1] = SLOT_X_M, SLOT_Y_M[taken]
    tcp = np.array(HOME_TCP_M) + rng.uniform(-1, 1, 3) * (0.02, 0.06, 0.015)
    arm = kin.steepest(*tcp)
    assert arm is not None  # the home box is well within reach
    return Layout(products, positions, yaws, 0, goal_slot, np.array([*arm, arm[0], JAW_OPEN_RAD]))


def draw_still(rng: np.random.Generator, split: Split) -> Layout:
    """A random picture: any yaw, a quarter of the products on the shelf, the arm anywhere."""
    count = int(rng.choice(ITEM_COUNTS))
    products = draw_products(rng, split, count)
    positions = _scatter(rng, count, 0.050)
    yaws = rng.uniform(-math.pi, math.pi, count)
    slots = rng.permutation(len(SLOTS))[: rng.binomial(len(SLOTS), 0.4)]
    for slot, item in zip(slots, rng.permutation(count)[: len(slots)], strict=True):
        positions[item] = np.array([SLOT_X_M, SLOT_Y_M[slot]]) + rng.uniform(-0.015, 0.015, 2)
    near_target, gripping = rng.random() < 0.4, rng.random() < GRIPPING_SHARE
    arm, tcp = None, np.zeros(3)
    while arm is None:
        tcp = np.array([rng.uniform(0.15, 0.32), rng.uniform(-0.17, 0.17), rng.uniform(0.02, 0.14)])
        if near_target and not gripping:
            tcp[:2] = positions[0] + rng.normal(0, 0.02, 2)
        arm = kin.steepest(*tcp)
    roll, jaw = arm[0] + rng.uniform(-0.6, 0.6), rng.uniform(kin.GRIPPER_LOWER_RAD, JAW_OPEN_RAD)
    in_hand = None
    if gripping:
        jaw = jaw_around_rad(products[0].width_m)
        in_hand = _hang(products[0], tcp, kin.hand_axes([*arm, roll]), grasp_m=rng.uniform(0.015, 0.028))
    arm_rad = np.array([*arm, roll, jaw])
    return Layout(products, positions, yaws, 0, int(rng.integers(len(SLOTS))), arm_rad, in_hand)


def _hang(
    product: Product, tcp_m: NDArray[np.float64], axes: tuple[NDArray[np.float64], ...], grasp_m: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pose of a product against the fixed pad, gripped `grasp_m` above its base."""
    fingers, opening, third = axes
    position = tcp_m + (FIXED_FACE_M + product.width_m / 2) * opening + grasp_m * fingers
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, np.column_stack([third, opening, -fingers]).ravel())
    return position, quat


@lru_cache(maxsize=16)
def _furnished(station: Station) -> mujoco.MjSpec:
    """The desk of `station` with bin, shelf and cameras; building it takes longer than copying it."""
    spec = workcell(station)
    dy, dz = BASE_Y_M["right"], station.table_height_m
    low_x, high_x = BIN_X_M[0] - 0.030, BIN_X_M[1] + 0.025
    half_y, mid_x = BIN_Y_M[1] + 0.034, (low_x + high_x) / 2

    def fixture(centre, half, rgba, collides=False) -> None:
        add_fixture(spec, (centre[0], centre[1] + dy, centre[2] + dz), half, rgba, collides)

    fixture((mid_x, 0, -0.0012), ((high_x - low_x) / 2, half_y, 0.0014), _BIN)
    fixture((low_x, 0, 0.006), (0.003, half_y, 0.006), _LIP, True)  # fence: 12 mm keeps products in reach
    for side in (-1, 1):
        fixture((mid_x, side * half_y, 0.006), ((high_x - low_x) / 2, 0.003, 0.006), _LIP, True)
    shelf_y, near_x, far_x = SLOT_Y_M[2] + 0.042, high_x + 0.004, SLOT_X_M + 0.034
    middle_x, half_x = (near_x + far_x) / 2, (far_x - near_x) / 2
    fixture((middle_x, 0, -0.0012), (half_x, shelf_y, 0.0014), _BOARD)
    fixture((far_x, 0, 0.002), (0.003, shelf_y, 0.002), _LIP, True)  # lips of 4 mm in front and at the sides;
    for side in (-1, 1):  # between slots the opening jaw would catch them
        fixture((middle_x, side * shelf_y, 0.002), (half_x, 0.003, 0.002), _LIP, True)
    for number, y in enumerate(SLOT_Y_M, start=1):  # a mat in each facing; tags with one, two, three bars
        fixture((SLOT_X_M, y, -0.0008), (0.024, 0.026, 0.0014), _MAT)
        fixture((far_x + 0.013, y, 0.004), (0.009, 0.024, 0.004), _TAG)
        for bar in range(number):
            offset = (bar - (number - 1) / 2) * 0.012
            fixture((far_x + 0.013, y + offset, 0.0047), (0.0065, 0.0032, 0.0042), _INK)
    x, y, z = _LOOK_AT_M
    add_camera(spec, "front", (x, y + dy, z), 0.66, 0.0, math.radians(50), 20.0)
    add_camera(spec, "viewer", (0.17, -0.09, 0.07), 0.80, 0.42, math.radians(32), 36.0)
    disturb_view(spec, "front", station)
    return spec


def build(station: Station, layout: Layout, view: Station | None = None) -> mujoco.MjModel:
    """Compile the desk with the products of `layout`; `view` disturbs camera and lamp further."""
    spec = _furnished(station).copy()
    for item, product in enumerate(layout.products):
        (x, y), z, quat = layout.positions_m[item], station.table_height_m, yaw_quat(layout.yaws_rad[item])
        if layout.in_hand is not None and item == layout.goal_item:
            (x, y, z), quat = layout.in_hand
        add_product(spec, f"item{item}", product, np.array([x, y + BASE_Y_M["right"], z]), quat)
    if view is not None:
        disturb_view(spec, "front", view)
    return spec.compile()

"""The scene of ``restock/correct``: a shelf of six facings, one of whose products stands in a wrong one.

Every facing has a tag in the colours of the product that belongs there (body, label, body), so that the
mistake can be seen; the tag of the free facing is that of the misplaced product. The front row is the one
nearest to the front camera. The frame of all positions is that of `sop_envs.tasks.restock_scene`.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np

from sop_bench.robot import Split
from sop_envs.assortment import draw_products
from sop_envs.catalogue import Product
from sop_envs.station import Station
from sop_envs.tasks.restock_scene import (
    BIN,
    BOARD,
    LIP,
    TAG,
    Desk,
    Layout,
    draw_home_arm,
    draw_still_arm,
    place_products,
)
from sop_envs.workcell import add_camera, disturb_view, workcell

ROW_X_M = {"back": 0.190, "front": 0.290}
COLUMN_Y_M = {"left": -0.080, "middle": 0.0, "right": 0.080}
SLOTS = tuple(f"{row} {column}" for row in ROW_X_M for column in COLUMN_Y_M)
SLOTS_M = tuple((x, y) for x in ROW_X_M.values() for y in COLUMN_Y_M.values())
ITEM_COUNTS = (3, 4, 5)
STANDING_ERROR_M, STANDING_YAW_RAD = 0.005, 0.25  # how exactly products stand in their facings
MISPLACED_ERROR_M, MISPLACED_YAW_RAD = 0.010, 0.5  # somebody put that one down in a hurry

_TAG_AHEAD_M = 0.037  # of the middle of its facing
_LOOK_AT_M = (0.240, 0.0, 0.012)


@dataclass(frozen=True)
class ShelfLayout(Layout):
    """The start of an episode; `homes` is the slot in which each product belongs, the goal item's first."""

    homes: tuple[int, ...] = ()


def draw_layout(rng: np.random.Generator, split: Split) -> ShelfLayout:
    """All products but the first stand at home; the first stands in another free facing."""
    products = draw_products(rng, split, int(rng.choice(ITEM_COUNTS)))
    count = len(products)  # one more than asked for if a small scene has a twin
    slots = [int(slot) for slot in rng.permutation(len(SLOTS))[: count + 1]]
    homes, wrong = slots[:count], slots[count]
    errors = rng.uniform(-STANDING_ERROR_M, STANDING_ERROR_M, (count, 2))
    yaws = rng.uniform(-STANDING_YAW_RAD, STANDING_YAW_RAD, count)
    errors[0] = rng.uniform(-MISPLACED_ERROR_M, MISPLACED_ERROR_M, 2)
    yaws[0] = rng.uniform(-MISPLACED_YAW_RAD, MISPLACED_YAW_RAD)
    positions = np.array([SLOTS_M[slot] for slot in (wrong, *homes[1:])]) + errors
    return ShelfLayout(products, positions, yaws, 0, homes[0], draw_home_arm(rng), homes=tuple(homes))


def draw_still(rng: np.random.Generator, split: Split) -> ShelfLayout:
    """A random picture: products in any facings, askew or just beside them, the arm anywhere."""
    start = draw_layout(rng, split)
    count = len(start.products)
    slots = rng.permutation(len(SLOTS))[:count]
    errors = rng.uniform(-0.018, 0.018, (count, 2))
    positions = np.array([SLOTS_M[slot] for slot in slots]) + errors
    yaws = rng.uniform(-math.pi, math.pi, count)
    arm_rad, in_hand = draw_still_arm(rng, start.products[0], positions[0])
    return ShelfLayout(
        start.products, positions, yaws, 0, start.goal_slot, arm_rad, in_hand, homes=start.homes
    )


@lru_cache(maxsize=16)
def _furnished(station: Station) -> mujoco.MjSpec:
    """The desk of `station` with the shelf and cameras; building it takes longer than copying it."""
    spec = workcell(station)
    desk = Desk(spec, station)
    near_x, far_x = ROW_X_M["back"] - 0.036, ROW_X_M["front"] + 0.052
    middle_x, half_x, half_y = (near_x + far_x) / 2, (far_x - near_x) / 2, COLUMN_Y_M["right"] + 0.042
    desk.fixture((middle_x, 0, -0.0012), (half_x, half_y, 0.0014), BOARD)
    desk.fixture((far_x, 0, 0.002), (0.003, half_y, 0.002), LIP, True)
    desk.fixture((near_x, 0, 0.004), (0.003, half_y, 0.004), BIN, True)
    for side in (-1, 1):
        desk.fixture((middle_x, side * half_y, 0.002), (half_x, 0.003, 0.002), LIP, True)
    for x, y in SLOTS_M:
        desk.mat(x, y)
    desk.front_camera(_LOOK_AT_M, 0.66, math.radians(50), 17.0)
    add_camera(spec, "viewer", (0.21, -0.13, 0.07), 0.66, 0.42, math.radians(36), 32.0)
    disturb_view(spec, "front", station)
    return spec


def build(station: Station, layout: ShelfLayout, view: Station | None = None) -> mujoco.MjModel:
    """Compile the desk with the products of `layout` and the tags of where they belong."""
    spec = _furnished(station).copy()
    desk = Desk(spec, station)
    belongs = dict(zip(layout.homes, layout.products, strict=True))
    for slot, (x, y) in enumerate(SLOTS_M):
        x += _TAG_AHEAD_M
        desk.fixture((x, y, 0.0005), (0.007, 0.024, 0.0012), TAG)
        product = belongs.get(slot)
        if isinstance(product, Product):
            desk.fixture((x, y, 0.0008), (0.0055, 0.0215, 0.0012), (*product.colour_rgb, 1.0))
            desk.fixture((x, y, 0.0011), (0.0055, 0.0070, 0.0012), (*product.label_rgb, 1.0))
    place_products(spec, station, layout)
    if view is not None:
        disturb_view(spec, "front", view)
    return spec.compile()

"""The scene of ``restock/flat-shelf``: a bin of products in front of a shelf with three facings.

The frame of all positions is that of `sop_envs.tasks.restock_scene`.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from functools import lru_cache

import mujoco
import numpy as np

from sop_bench.robot import Split
from sop_envs.assortment import draw_products
from sop_envs.station import Station
from sop_envs.tasks.restock_scene import (
    ITEM_YAW_RAD,
    SPACING_M,
    Desk,
    Layout,
    draw_home_arm,
    draw_still_arm,
    place_products,
    scatter,
)
from sop_envs.workcell import add_camera, disturb_view, workcell

BIN_X_M, BIN_Y_M = (0.165, 0.238), (-0.160, 0.160)  # where the middle of a product may start
SLOTS = ("left", "middle", "right")
SLOT_X_M, SLOT_Y_M = 0.300, (-0.080, 0.0, 0.080)
ITEM_COUNTS = (4, 5, 6)
OCCUPIED_SHARE = 0.3  # episodes with a product already in another facing
_LOOK_AT_M = (0.238, 0.0, 0.012)


def draw_layout(rng: np.random.Generator, split: Split) -> Layout:
    """The start of an episode; the layout is drawn before the goal slot."""
    count = int(rng.choice(ITEM_COUNTS))
    products = draw_products(rng, split, count)
    positions = scatter(rng, count, SPACING_M, BIN_X_M, BIN_Y_M)
    yaws = rng.uniform(-ITEM_YAW_RAD, ITEM_YAW_RAD, count)
    goal_slot = int(rng.integers(len(SLOTS)))
    if rng.random() < OCCUPIED_SHARE:
        taken = (goal_slot + int(rng.integers(1, len(SLOTS)))) % len(SLOTS)
        positions[-1] = SLOT_X_M, SLOT_Y_M[taken]
    return Layout(products, positions, yaws, 0, goal_slot, draw_home_arm(rng))


def draw_still(rng: np.random.Generator, split: Split) -> Layout:
    """A random picture: any yaw, a quarter of the products on the shelf, the arm anywhere."""
    count = int(rng.choice(ITEM_COUNTS))
    products = draw_products(rng, split, count)
    positions = scatter(rng, count, 0.050, BIN_X_M, BIN_Y_M)
    yaws = rng.uniform(-math.pi, math.pi, count)
    slots = rng.permutation(len(SLOTS))[: rng.binomial(len(SLOTS), 0.4)]
    for slot, item in zip(slots, rng.permutation(count)[: len(slots)], strict=True):
        positions[item] = np.array([SLOT_X_M, SLOT_Y_M[slot]]) + rng.uniform(-0.015, 0.015, 2)
    arm_rad, in_hand = draw_still_arm(rng, products[0], positions[0])
    return Layout(products, positions, yaws, 0, int(rng.integers(len(SLOTS))), arm_rad, in_hand)


@lru_cache(maxsize=16)
def _furnished(station: Station) -> mujoco.MjSpec:
    """The desk of `station` with bin, shelf and cameras; building it takes longer than copying it."""
    spec = workcell(station)
    desk = Desk(spec, station)
    high_x, half_y = BIN_X_M[1] + 0.025, BIN_Y_M[1] + 0.034
    desk.bin((BIN_X_M[0] - 0.030, high_x), (-half_y, half_y))
    far_x = SLOT_X_M + 0.034
    desk.shelf((high_x + 0.004, far_x), SLOT_Y_M[2] + 0.042)
    for number, y in enumerate(SLOT_Y_M, start=1):  # a mat in each facing; tags with one, two, three bars
        desk.mat(SLOT_X_M, y)
        desk.tag(far_x + 0.013, y, bars=number)
    desk.front_camera(_LOOK_AT_M, 0.66, math.radians(50), 20.0)
    add_camera(spec, "viewer", (0.17, -0.09, 0.07), 0.80, 0.42, math.radians(32), 36.0)
    disturb_view(spec, "front", station)
    return spec


def build(station: Station, layout: Layout, view: Station | None = None) -> mujoco.MjModel:
    """Compile the desk with the products of `layout`; `view` disturbs camera and lamp further."""
    spec = _furnished(station).copy()
    place_products(spec, station, layout)
    if view is not None:
        disturb_view(spec, "front", view)
    return spec.compile()

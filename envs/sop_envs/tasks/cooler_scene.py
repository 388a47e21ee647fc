"""The scene of ``restock/cooler``: multi-packs in front of an open cooler with three bays.

One or two bays are stocked with loose products that stick out above the dividers; a pack has to come down
between walls without touching them. The frame of all positions is that of `sop_envs.tasks.restock_scene`.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Split
from sop_envs.assortment import draw_products
from sop_envs.multipacks import MultiPack
from sop_envs.station import Station
from sop_envs.tasks.restock_scene import (
    MAT,
    Desk,
    Layout,
    Rgba,
    draw_home_arm,
    draw_still_arm,
    place_products,
)
from sop_envs.workcell import add_camera, disturb_view, workcell

SLOTS = ("left", "middle", "right")
BAY_X_M, BAY_Y_M = 0.270, (-0.096, 0.0, 0.096)
SLOTS_M = tuple((BAY_X_M, y) for y in BAY_Y_M)
BAY_HALF_M = (0.047, 0.045)
WALL_M, DIVIDER_M = 0.045, 0.036  # heights
PACKS = 2
PACK_X_M, PACK_Y_M = (0.158, 0.176), ((-0.110, -0.060), (0.060, 0.110))  # where packs wait
PACK_YAW_RAD = 0.35
GRIP_M = 0.060  # of the TCP above the base of a pack: the fingertips stay clear of the carton
STOCKED_BAYS = (1, 2)
STOCKED_COUNTS = (2, 3)
_STOCK_AT_M = tuple((x, y) for x in (-0.026, 0.026) for y in (-0.022, 0.022))  # from the middle of a bay
_STOCK_ERROR_M, _STOCK_YAW_RAD = 0.003, 0.4

_WALL: Rgba = (0.86, 0.90, 0.94, 1)
_GLASS: Rgba = (0.75, 0.88, 0.95, 0.30)
_HALF_THICK_M = 0.003
_LOOK_AT_M = (0.236, 0.0, 0.024)


def draw_layout(rng: np.random.Generator, split: Split) -> Layout:
    """Two packs wait; the first is asked for, in a bay that is free."""
    return _lay_out(rng, split, in_bay=False)


def draw_still(rng: np.random.Generator, split: Split) -> Layout:
    """A random picture: a pack may stand in its bay already or hang in the hand, the arm is anywhere."""
    return _lay_out(rng, split, in_bay=True)


def _lay_out(rng: np.random.Generator, split: Split, in_bay: bool) -> Layout:
    bays = rng.permutation(len(SLOTS))
    stocked = bays[: int(rng.choice(STOCKED_BAYS))]
    places: list[NDArray[np.float64]] = []
    for bay in stocked:
        for place in rng.permutation(len(_STOCK_AT_M))[: int(rng.choice(STOCKED_COUNTS))]:
            error = rng.uniform(-_STOCK_ERROR_M, _STOCK_ERROR_M, 2)
            places.append(np.array(SLOTS_M[bay]) + _STOCK_AT_M[place] + error)
    products = draw_products(rng, split, PACKS + len(places))[: PACKS + len(places)]
    waiting = [
        np.array([rng.uniform(*PACK_X_M), rng.uniform(*PACK_Y_M[side])]) for side in rng.permutation(2)
    ]
    yaws = np.append(
        rng.uniform(-PACK_YAW_RAD, PACK_YAW_RAD, PACKS),
        rng.uniform(-_STOCK_YAW_RAD, _STOCK_YAW_RAD, len(places)),
    )
    positions, goal_slot = np.array([*waiting, *places]), int(bays[-1])
    items = (*(MultiPack(product) for product in products[:PACKS]), *products[PACKS:])
    if not in_bay:
        return Layout(items, positions, yaws, 0, goal_slot, draw_home_arm(rng))
    if rng.random() < 0.4:
        positions[0] = np.array(SLOTS_M[goal_slot]) + rng.uniform(-0.008, 0.008, 2)
        yaws[0] *= 0.3
    arm_rad, in_hand = draw_still_arm(
        rng, items[0], positions[0], height_m=(0.06, 0.15), grasp_m=(GRIP_M - 0.002, GRIP_M + 0.006)
    )
    return Layout(items, positions, yaws, 0, goal_slot, arm_rad, in_hand)


@lru_cache(maxsize=16)
def _furnished(station: Station) -> mujoco.MjSpec:
    """The desk of `station` with the cooler and cameras; building it takes longer than copying it."""
    spec = workcell(station)
    desk = Desk(spec, station)
    half_x, half_y, thick = BAY_HALF_M[0], BAY_Y_M[2] + BAY_HALF_M[1], _HALF_THICK_M
    desk.fixture((BAY_X_M, 0, -0.0012), (half_x, half_y, 0.0014), _WALL)
    for side in (-1, 1):  # of glass, so that the front camera sees the bays and the labels of waiting packs
        x = BAY_X_M + side * (half_x + thick)
        desk.fixture((x, 0, WALL_M / 2), (thick, half_y + 2 * thick, WALL_M / 2), _GLASS, True)
        desk.fixture((BAY_X_M, side * (half_y + thick), WALL_M / 2), (half_x, thick, WALL_M / 2), _WALL, True)
    for y in ((a + b) / 2 for a, b in pairwise(BAY_Y_M)):
        desk.fixture((BAY_X_M, y, DIVIDER_M / 2), (half_x, thick, DIVIDER_M / 2), _WALL, True)
    far_x = BAY_X_M + half_x + 2 * thick + 0.011
    for number, (x, y) in enumerate(SLOTS_M, start=1):
        desk.fixture((x, y, -0.0008), (0.030, 0.036, 0.0014), MAT)
        desk.tag(far_x, y, bars=number)
    desk.front_camera(_LOOK_AT_M, 0.66, math.radians(52), 19.5)
    add_camera(spec, "viewer", (0.22, -0.13, 0.06), 0.72, 0.42, math.radians(36), 32.0)
    disturb_view(spec, "front", station)
    return spec


def build(station: Station, layout: Layout, view: Station | None = None) -> mujoco.MjModel:
    """Compile the desk with the packs and products of `layout`; `view` disturbs camera and lamp further."""
    spec = _furnished(station).copy()
    place_products(spec, station, layout)
    if view is not None:
        disturb_view(spec, "front", view)
    return spec.compile()

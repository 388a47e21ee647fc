"""The scene of ``restock/freezer``: products beside a chest freezer whose glass lid closes by itself.

The lid is hinged along the far wall and sprung; its handle is a bar on the near edge, on the robot's left. Of
the two compartments one may be stocked already. The frame of all positions is that of
`sop_envs.tasks.restock_scene`.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from functools import lru_cache

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Split
from sop_envs import kinematics as kin
from sop_envs.assortment import draw_products
from sop_envs.damping import linear
from sop_envs.products import ARM_BIT, FIXTURE_BIT, PRODUCT_BIT
from sop_envs.so101 import JAW_OPEN_RAD, SIDES
from sop_envs.station import Station
from sop_envs.tasks.restock_scene import (
    ITEM_YAW_RAD,
    MAT,
    SPACING_M,
    Desk,
    Layout,
    Rgba,
    draw_still_arm,
    place_products,
    scatter,
)
from sop_envs.workcell import BASE_Y_M, add_camera, disturb_view, workcell

SLOTS = ("left", "right")
SLOT_X_M, SLOT_Y_M = 0.238, (0.045, 0.125)
SLOTS_M = tuple((SLOT_X_M, y) for y in SLOT_Y_M)
INSIDE_X_M, INSIDE_Y_M = (0.188, 0.288), (-0.012, 0.182)
RIM_M = 0.060  # height of the walls

WAITING_X_M, WAITING_Y_M = (0.160, 0.255), (-0.190, -0.092)  # where products wait, on the robot's right
WAITING_COUNTS = (2, 3)
STOCKED_SHARE = 0.5  # episodes with a product in the other compartment

HINGE_X_M, HINGE_Z_M = 0.300, 0.066
LID_M, LID_HALF_THICK_M = 0.122, 0.002  # from the hinge to the free edge
BAR_BEYOND_M, BAR_RISE_M, BAR_RADIUS_M = 0.012, 0.024, 0.008
BAR_Y_M, BAR_HALF_M = 0.200, 0.026
LID_MASS_KG, LID_LIMIT_RAD = 0.090, 1.70
SPRING_NM_PER_RAD, SPRING_REST_RAD, LID_DAMPING_NMS = 0.030, -1.5, 0.060  # shuts within a second

HOME_RIGHT_M = ((0.18, 0.23), (-0.15, -0.06), (0.11, 0.14))  # ranges of the TCP at the start
HOME_LEFT_M = ((0.13, 0.19), (-0.10, -0.02), (0.15, 0.18))  # in the base frame of the left arm

_BODY: Rgba = (0.90, 0.92, 0.94, 1)
_FLOOR: Rgba = (0.80, 0.88, 0.95, 1)
_GLASS: Rgba = (0.70, 0.86, 0.96, 0.25)
_FRAME: Rgba = (0.28, 0.36, 0.48, 1)
_HALF_THICK_M = 0.003
_LOOK_AT_M = (0.216, 0.014, 0.034)


def bar_m(lid_rad: float) -> NDArray[np.float64]:
    """Middle of the handle's bar when the lid stands at this angle."""
    out, rise = LID_M + BAR_BEYOND_M, BAR_RISE_M
    cosine, sine = math.cos(lid_rad), math.sin(lid_rad)
    return np.array([HINGE_X_M - out * cosine + rise * sine, BAR_Y_M, HINGE_Z_M + out * sine + rise * cosine])


def draw_layout(rng: np.random.Generator, split: Split) -> Layout:
    """Products wait beside the closed freezer; the first is asked for."""
    return _lay_out(rng, split)


def draw_still(rng: np.random.Generator, split: Split) -> tuple[Layout, float]:
    """A random picture and the angle of its lid: arms anywhere, the target possibly inside or in the hand."""
    start = _lay_out(rng, split)
    positions, slot = start.positions_m, start.goal_slot
    lid = 0.0 if rng.random() < 0.3 else float(rng.uniform(0.0, 1.5))
    if rng.random() < 0.25:
        positions[0] = np.array(SLOTS_M[slot]) + rng.uniform(-0.012, 0.012, 2)
    arm_rad, in_hand = draw_still_arm(
        rng,
        start.products[0],
        positions[0],
        (0.15, 0.28),
        (-0.19, 0.14),
        (0.03, 0.14) if lid > 1 else (0.09, 0.14),
    )
    left = _left_anywhere(rng, lid)
    yaws = rng.uniform(-math.pi, math.pi, len(positions))
    return Layout(start.products, positions, yaws, 0, slot, arm_rad, in_hand, left), lid


def _lay_out(rng: np.random.Generator, split: Split) -> Layout:
    waiting = int(rng.choice(WAITING_COUNTS))
    stocked = rng.random() < STOCKED_SHARE
    products = draw_products(rng, split, waiting + 1)[: waiting + int(stocked)]
    positions = scatter(rng, waiting, SPACING_M, WAITING_X_M, WAITING_Y_M)
    goal_slot = int(rng.integers(len(SLOTS)))
    if stocked:
        inside = np.array(SLOTS_M[1 - goal_slot]) + rng.uniform(-0.004, 0.004, 2)
        positions = np.vstack([positions, inside])
    yaws = rng.uniform(-ITEM_YAW_RAD, ITEM_YAW_RAD, len(products))
    arm = _arm_at(rng, HOME_RIGHT_M)
    left = _arm_at(rng, HOME_LEFT_M)
    return Layout(
        products,
        positions,
        yaws,
        0,
        goal_slot,
        np.array([*arm, arm[0], JAW_OPEN_RAD]),
        left_rad=(*left, left[0], JAW_OPEN_RAD),
    )


def _arm_at(rng: np.random.Generator, box_m: tuple[tuple[float, float], ...]) -> tuple[float, ...]:
    """Pan, lift, elbow and wrist with the TCP in a box."""
    arm = None
    while arm is None:
        x, y, z = (float(rng.uniform(*side)) for side in box_m)
        arm = kin.steepest(x, y, z)
    return arm


def _left_anywhere(rng: np.random.Generator, lid_rad: float) -> tuple[float, ...]:
    """The left arm for a still, more often than not near the handle."""
    bar = bar_m(lid_rad) - [0, BASE_Y_M["left"] - BASE_Y_M["right"], 0]
    near = rng.random() < 0.6
    arm = None
    while arm is None:
        if near:
            x, y, z = bar + rng.normal(0, 0.02, 3)
        else:
            x, y, z = rng.uniform(0.12, 0.28), rng.uniform(-0.12, 0.10), rng.uniform(0.06, 0.22)
        arm = kin.steepest(x, y, max(z, 0.02))
    roll = arm[0] - math.pi / 2 + rng.uniform(-0.5, 0.5)
    return (*arm, float(np.clip(roll, -2.7, 2.8)), float(rng.uniform(kin.GRIPPER_LOWER_RAD, JAW_OPEN_RAD)))


@lru_cache(maxsize=16)
def _furnished(station: Station) -> mujoco.MjSpec:
    """The desk of `station` with the freezer and cameras; building it takes longer than copying it."""
    spec = workcell(station)
    desk = Desk(spec, station)
    (near_x, far_x), (low_y, high_y) = INSIDE_X_M, INSIDE_Y_M
    block_y = BAR_Y_M + 0.034  # the compressor's housing, below the handle
    mid_x, half_x, t, half_z = (near_x + far_x) / 2, (far_x - near_x) / 2, _HALF_THICK_M, RIM_M / 2
    mid_y, half_y = (low_y + block_y) / 2, (block_y - low_y) / 2
    desk.fixture((mid_x, mid_y, -0.0012), (half_x, half_y, 0.0014), _FLOOR)
    for x in (near_x - t, far_x + t):
        desk.fixture((x, mid_y, half_z), (t, half_y + 2 * t, half_z), _BODY, True)
    desk.fixture((mid_x, low_y - t, half_z), (half_x, t, half_z), _BODY, True)
    desk.fixture(
        (mid_x, (high_y + block_y) / 2, half_z), (half_x, (block_y - high_y) / 2, half_z), _BODY, True
    )
    middle_y = sum(SLOT_Y_M) / 2  # a painted line: fingers would catch a divider
    desk.fixture((mid_x, middle_y, -0.0006), (half_x, 0.002, 0.0014), _FRAME)
    for number, (x, y) in enumerate(SLOTS_M, start=1):
        desk.mat(x, y)
        desk.tag(far_x + 0.024, y, bars=number)
    (low_wait, high_wait), (far_wait, near_wait) = WAITING_X_M, WAITING_Y_M
    desk.fixture(
        ((low_wait + high_wait) / 2, (far_wait + near_wait) / 2 - 0.004, -0.0012),
        ((high_wait - low_wait) / 2 + 0.025, (near_wait - far_wait) / 2 + 0.026, 0.0014),
        MAT,
    )
    for side in SIDES:
        # Of arms that sleep, no contact is known: a hand that waits would seem to hold nothing.
        spec.body(f"{side}_shoulder_pan").sleep = mujoco.mjtSleepPolicy.mjSLEEP_NEVER
    _add_lid(spec, station, low_y - 2 * t, block_y + 2 * t)
    desk.front_camera(_LOOK_AT_M, 0.66, math.radians(52), 27.5)
    add_camera(spec, "viewer", (0.20, -0.09, 0.07), 0.80, 0.42, math.radians(34), 34.0)
    disturb_view(spec, "front", station)
    return spec


def _add_lid(spec: mujoco.MjSpec, station: Station, low_y: float, high_y: float) -> None:
    """A glass plate on a sprung hinge, with a bar for a handle; nothing else holds it open."""
    dy, dz = BASE_Y_M["right"], station.table_height_m
    lid = spec.worldbody.add_body(name="lid", pos=[HINGE_X_M, dy, HINGE_Z_M + dz])
    hinge = lid.add_joint(
        name="lid", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 1, 0], range=[0, LID_LIMIT_RAD], limited=True
    )
    hinge.stiffness = np.array([SPRING_NM_PER_RAD, 0, 0])
    hinge.springref = SPRING_REST_RAD
    hinge.damping = linear(LID_DAMPING_NMS)
    hinge.armature = 0.0003
    lid.mass, lid.ipos, lid.explicitinertial = LID_MASS_KG, [-LID_M / 2, (low_y + high_y) / 2, 0], True
    lid.inertia = [3e-4, 1.1e-4, 4e-4]

    def part(name: str, centre: list[float], half: list[float], rgba: Rgba, collides: bool) -> None:
        lid.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=centre,
            size=half,
            rgba=rgba,
            mass=0,
            contype=FIXTURE_BIT if collides else 0,
            conaffinity=ARM_BIT | PRODUCT_BIT if collides else 0,
            friction=[0.3, 0.005, 0.0001],
        )

    mid_y, half_y, thick = (low_y + high_y) / 2, (high_y - low_y) / 2, LID_HALF_THICK_M
    part("lid_glass", [-LID_M / 2, mid_y, 0], [LID_M / 2, half_y, thick], _GLASS, True)
    for x in (-0.004, -LID_M + 0.004):
        part(f"lid_rail{x}", [x, mid_y, 0], [0.004, half_y, thick + 0.001], _FRAME, False)
    for y in (low_y + 0.004, high_y - 0.004):
        part(f"lid_rail{y}", [-LID_M / 2, y, 0], [LID_M / 2, 0.004, thick + 0.001], _FRAME, False)
    reach = BAR_BEYOND_M / 2
    for y in (BAR_Y_M - BAR_HALF_M, BAR_Y_M + BAR_HALF_M):  # brackets from the edge up to the bar
        part(
            f"bracket{y}",
            [-LID_M - reach, y, BAR_RISE_M / 2],
            [reach + 0.004, 0.003, BAR_RISE_M / 2],
            _FRAME,
            False,
        )
    lid.add_geom(
        name="bar",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=[-LID_M - BAR_BEYOND_M, BAR_Y_M, BAR_RISE_M],
        size=[BAR_RADIUS_M, BAR_HALF_M, 0],
        quat=[math.sqrt(0.5), math.sqrt(0.5), 0, 0],
        rgba=_FRAME,
        mass=0,
        contype=FIXTURE_BIT,
        conaffinity=ARM_BIT | PRODUCT_BIT,
        condim=4,
        friction=[0.6, 0.005, 0.0001],
    )


def build(station: Station, layout: Layout, view: Station | None = None) -> mujoco.MjModel:
    """Compile the desk with the products of `layout`; `view` disturbs camera and lamp further."""
    spec = _furnished(station).copy()
    place_products(spec, station, layout)
    if view is not None:
        disturb_view(spec, "front", view)
        for item in range(len(layout.products)):
            # No physics will run, and MuJoCo complains of a body that is to sleep in a hand that cannot.
            spec.body(f"item{item}").sleep = mujoco.mjtSleepPolicy.mjSLEEP_AUTO
    return spec.compile()

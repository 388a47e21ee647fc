"""``restock/flat-shelf``: pick the named product out of a bin of many and stand it in its facing.

All positions are in the base frame of the right arm (x away from the robot, y to its left, z up, metres),
heights are above the table top. "Left" and "right" are those of the front camera, which looks at the shelf
as a customer does: the left slot is on the robot's right.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import ConfigurationError
from sop_bench.robot import Outcome, Split
from sop_envs import kinematics as kin
from sop_envs.catalogue import COLOURS, PATTERNS, RING_PATTERNS, SHAPES, Product, all_products
from sop_envs.experts.flat_shelf import FlatShelfExpert
from sop_envs.products import add_product
from sop_envs.so101 import JAW_OPEN_RAD, JOINTS
from sop_envs.station import Station, draw_station
from sop_envs.workcell import BASE_Y_M, add_camera, add_fixture, disturb_view, workcell

NAME, VERSION, TIME_LIMIT_S = "restock/flat-shelf", "1", 12.0

# ------------------------------------------------------------------------------------------- constants

BIN_X_M, BIN_Y_M = (0.165, 0.238), (-0.160, 0.160)  # where the middle of a product may start
SLOTS = ("left", "middle", "right")
SLOT_X_M, SLOT_Y_M = 0.300, (-0.080, 0.0, 0.080)
SLOT_TOLERANCE_M = 0.026
SPACING_M = 0.072  # an open jaw fits between neighbours
ITEM_COUNTS = (4, 5, 6)
ITEM_YAW_RAD = 0.5  # products face the robot roughly; stills show every yaw
OCCUPIED_SHARE = 0.3  # episodes with a product already in another facing
LABEL_ONLY_SHARE = 0.2  # episodes with a distractor that differs in its label alone

REACH_M = (0.135, 0.335)  # distance from the base within which a product can be grasped
STANDING_COSINE = 0.90
AT_REST_M_S, AT_REST_RAD_S = 0.04, 0.8
ON_TABLE_M = 0.008
RELEASED_RAD = 0.35  # the jaw is open at least this far

HOME_TCP_M = (0.205, 0.0, 0.125)
PARKED_LEFT_RAD = (1.25, -1.45, 1.35, 0.9, 0.0, 0.0)

_RIGHT = slice(len(JOINTS), 2 * len(JOINTS))
_BOARD, _MAT, _BIN = (0.84, 0.85, 0.86, 1), (0.70, 0.74, 0.79, 1), (0.60, 0.54, 0.46, 1)
_LIP, _TAG, _INK = (0.50, 0.53, 0.57, 1), (0.98, 0.97, 0.92, 1), (0.12, 0.13, 0.15, 1)
_DARTS = 150
_LOOK_AT_M = (0.238, 0.0, 0.012)


# ----------------------------------------------------------------------------------------------- scene


@dataclass(frozen=True)
class Layout:
    """Where everything is at the start.

    Attributes:
        products: What stands on the desk; index 0 is the one that a fresh episode asks for.
        positions_m: (n, 2) in the right arm's base frame.
        yaws_rad: (n,).
        goal_item, goal_slot: What the instruction asks for.
        arm_rad: Right arm and gripper, (6,).
    """

    products: tuple[Product, ...]
    positions_m: NDArray[np.float64]
    yaws_rad: NDArray[np.float64]
    goal_item: int
    goal_slot: int
    arm_rad: NDArray[np.float64]


def draw_products(rng: np.random.Generator, split: Split, count: int) -> tuple[Product, ...]:
    """A target, one like it in colour, one like it in shape, and others; now and then a label-only twin."""
    pool = all_products()
    colour, pattern, shape, held_out = _catalogue_columns()
    fresh = np.ones(len(pool), bool) if split == "test" else ~held_out  # not chosen yet, and allowed
    chosen: list[int] = []

    def choose(matches: NDArray[np.bool_]) -> int:
        options = np.flatnonzero(matches & fresh)
        chosen.append(int(options[rng.integers(len(options))]))
        fresh[chosen[-1]] = False
        return chosen[-1]

    twin = rng.random() < LABEL_ONLY_SHARE
    ring_like = pattern < len(RING_PATTERNS)
    target = choose((held_out == (split == "test")) & (ring_like | (not twin)))
    same_colour, same_shape = colour == colour[target], shape == shape[target]
    if twin:
        choose(same_colour & same_shape & ring_like)
    choose(same_colour & ~same_shape)
    choose(same_shape & ~same_colour)
    while len(chosen) < count:
        kinds = colour * len(SHAPES) + shape
        choose(~np.isin(kinds, kinds[chosen]))
    return tuple(pool[index] for index in chosen)


@cache
def _catalogue_columns() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Colour, pattern and shape of every product as numbers, and whether it is held out."""
    words = [
        (list(COLOURS).index(p.colour), PATTERNS.index(p.pattern), SHAPES.index(p.shape))
        for p in all_products()
    ]
    colour, pattern, shape = np.array(words).T
    return colour, pattern, shape, np.array([product.held_out for product in all_products()])


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
    near_target = rng.random() < 0.4
    while True:
        tcp = np.array([rng.uniform(0.15, 0.32), rng.uniform(-0.17, 0.17), rng.uniform(0.02, 0.14)])
        if near_target:
            tcp[:2] = positions[0] + rng.normal(0, 0.02, 2)
        arm = kin.steepest(*tcp)
        if arm is not None:
            break
    roll, jaw = arm[0] + rng.uniform(-0.6, 0.6), rng.uniform(kin.GRIPPER_LOWER_RAD, JAW_OPEN_RAD)
    arm_rad = np.array([*arm, roll, jaw])
    return Layout(products, positions, yaws, 0, int(rng.integers(len(SLOTS))), arm_rad)


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
        x, y = layout.positions_m[item]
        place = np.array([x, y + BASE_Y_M["right"], station.table_height_m])
        add_product(spec, f"item{item}", product, place, layout.yaws_rad[item])
    if view is not None:
        disturb_view(spec, "front", view)
    return spec.compile()


# -------------------------------------------------------------------------------------------- measurements


class FlatShelfSituation:
    """One episode: the compiled scene and named measurements of its state.

    `measure` must have run after the last physics step; everything else reads what it found.
    """

    def __init__(self, station: Station, layout: Layout, view: Station | None = None) -> None:
        self.layout = layout
        self.model = build(station, layout, view)
        self.data = mujoco.MjData(self.model)
        self.table_m = station.table_height_m
        self.goal_item, self.goal_slot = layout.goal_item, layout.goal_slot
        self.count = len(layout.products)
        self._origin = np.array([0.0, BASE_Y_M["right"], 0.0])
        joints = [self.model.joint(f"item{i}") for i in range(self.count)]
        self._qpos = np.array([j.qposadr[0] for j in joints])[:, None] + np.arange(7)
        self._qvel = np.array([j.dofadr[0] for j in joints])[:, None] + np.arange(6)
        self._item_of_geom = np.full(self.model.ngeom, -1)
        for item in range(self.count):
            self._item_of_geom[self.model.geom(f"item{item}").id] = item
        self._pads = [self.model.geom(f"right_{pad}").id for pad in ("fixed_pad", "jaw_pad")]
        start = np.array([*PARKED_LEFT_RAD, *layout.arm_rad])
        self.data.qpos[: len(start)] = start
        self.data.ctrl[:] = start.astype(np.float32)
        self._at_start_in_slot = [False] * self.count
        self.measure()
        self._at_start_in_slot = [self.slot_of(item) is not None for item in range(self.count)]

    def measure(self) -> None:
        poses, speeds = self.data.qpos[self._qpos], self.data.qvel[self._qvel]
        self.item_m = poses[:, :3] - self._origin
        self.item_m[:, 2] -= self.table_m
        self._quats = poses[:, 3:]
        w, x, y, z = self._quats.T
        self.upright_cosine = 1 - 2 * (x * x + y * y)
        self.item_yaw_rad = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
        self._linear = np.sqrt((speeds[:, :3] ** 2).sum(1))
        self._angular = np.sqrt((speeds[:, 3:] ** 2).sum(1))
        touched = [set[int](), set[int]()]
        if self.data.ncon:
            for first, second in self.data.contact.geom[: self.data.ncon].tolist():
                for pad, items in zip(self._pads, touched, strict=True):
                    if first == pad:
                        items.add(int(self._item_of_geom[second]))
                    elif second == pad:
                        items.add(int(self._item_of_geom[first]))
        self.touched = (touched[0] | touched[1]) - {-1}
        both = (touched[0] & touched[1]) - {-1}
        self.held = min(both) if both else None
        measured, commanded = self.data.qpos[_RIGHT].tolist(), self.data.ctrl[_RIGHT].tolist()
        self.arm_rad, self.jaw_rad = measured[:5], measured[5]
        self.commanded_arm_rad, self.commanded_jaw_rad = commanded[:5], commanded[5]
        self.tcp = kin.forward(self.arm_rad)
        self.commanded_tcp = kin.forward(self.commanded_arm_rad)

    @property
    def tcp_m(self) -> NDArray[np.float64]:
        """Of the tool centre point; its z, as all heights here, counts from the table top."""
        return np.array([self.tcp.x_m, self.tcp.y_m, self.tcp.z_m - self.table_m])

    def slot_m(self, slot: int) -> NDArray[np.float64]:
        return np.array([SLOT_X_M, SLOT_Y_M[slot], 0.0])

    def over_slot(self, item: int) -> int | None:
        """The slot that the item is in or above, whatever its height."""
        x, y, _ = self.item_m[item]
        if abs(x - SLOT_X_M) > SLOT_TOLERANCE_M:
            return None
        return next((s for s, slot_y in enumerate(SLOT_Y_M) if abs(y - slot_y) <= SLOT_TOLERANCE_M), None)

    def slot_of(self, item: int) -> int | None:
        """The slot in which the item stands; None if it lies, hangs or is elsewhere."""
        stands = self.upright_cosine[item] > STANDING_COSINE and self.item_m[item, 2] < ON_TABLE_M
        return self.over_slot(item) if stands else None

    def at_rest(self, item: int) -> bool:
        return bool(self._linear[item] < AT_REST_M_S and self._angular[item] < AT_REST_RAD_S)

    def released(self, item: int) -> bool:
        """Not touched by a pad, and either far from the hand or below an open jaw."""
        if item in self.touched:
            return False
        apart = math.dist(self.item_m[item, :2], (self.tcp.x_m, self.tcp.y_m)) > 0.06
        return apart or self.jaw_rad > RELEASED_RAD

    def placed_slot(self, item: int) -> int | None:
        """The slot in which the item has been left for good; None if there is none."""
        slot = self.slot_of(item)
        return slot if slot is not None and self.at_rest(item) and self.released(item) else None

    def knocked_over(self, item: int) -> bool:
        """Lies on its side, and nobody holds it."""
        low = self.item_m[item, 2] < 0.03
        return bool(
            self.upright_cosine[item] < 0.5 and low and self.at_rest(item) and item not in self.touched
        )

    def out_of_reach(self, item: int) -> bool:
        """Rests where the arm cannot grasp it, or fell off the table."""
        x, y, z = self.item_m[item]
        if z < -0.02:
            return True
        inside = REACH_M[0] < math.hypot(x, y) < REACH_M[1] and x > 0.10
        return not inside and self.at_rest(item) and item not in self.touched

    # ------------------------------------------------------------------------------------------- success

    @property
    def instruction(self) -> str:
        name = self.layout.products[self.goal_item].name
        return f"put the {name} in the {SLOTS[self.goal_slot]} slot"

    def outcome(self) -> tuple[Outcome, str]:
        goal = self.goal_item
        slot = self.placed_slot(goal)
        if slot == self.goal_slot:
            return Outcome.SUCCESS, "placed"
        if slot is not None:
            return Outcome.FAILURE, "placed in the wrong slot"
        for item in range(self.count):
            if item != goal and not self._at_start_in_slot[item] and self.placed_slot(item) is not None:
                return Outcome.FAILURE, "placed the wrong product"
        if self.knocked_over(goal):
            return Outcome.FAILURE, "knocked over"
        if self.out_of_reach(goal):
            return Outcome.FAILURE, "dropped out of reach"
        return Outcome.RUNNING, ""

    def set_goal(self, item: int, slot: int) -> None:
        """Ask for `item` (not one that started on the shelf) in `slot` (a free one)."""
        allowed = [i for i in range(self.count) if not self._at_start_in_slot[i]]
        taken = {self.slot_of(i) for i in range(self.count) if i != item}
        free = [s for s in range(len(SLOTS)) if s not in taken]
        if item not in allowed or slot not in free:
            raise ConfigurationError(
                f"No goal (item {item}, slot {slot}) in this scene; allowed: items {allowed}, slots {free}. "
                f"Choose among these or reset with another seed."
            )
        self.goal_item, self.goal_slot = item, slot

    # -------------------------------------------------------------------------------------------- labels

    def labels(self) -> Mapping[str, NDArray[np.float32]]:
        target, tcp, slot = self.item_m[self.goal_item].copy(), self.tcp_m, self.slot_m(self.goal_slot)
        product = self.layout.products[self.goal_item]
        target[2] += product.height_m / 2
        yaw = 0.0 if product.round else 4 * self.item_yaw_rad[self.goal_item]  # a square repeats each quarter
        labels = {
            "target_xyz": target,
            "target_minus_tcp": target - tcp,
            "slot_xyz": slot,
            "slot_minus_tcp": slot - tcp,
            "target_yaw": [math.sin(yaw), math.cos(yaw)],
            "held": [float(self.held == self.goal_item)],
        }
        return {name: np.asarray(value, np.float32) for name, value in labels.items()}

    def expert(self) -> FlatShelfExpert:
        return FlatShelfExpert(self)


# ------------------------------------------------------------------------------------------------- task


class FlatShelf:
    """Registers the above as a `Task`."""

    name, version, time_limit_s = NAME, VERSION, TIME_LIMIT_S

    def begin(self, station: Station, rng: np.random.Generator, split: Split) -> FlatShelfSituation:
        return FlatShelfSituation(station, draw_layout(rng, split))

    def still(self, station: Station, rng: np.random.Generator, split: Split) -> FlatShelfSituation:
        view = draw_station(int(rng.integers(1, 2**31)))
        return FlatShelfSituation(station, draw_still(rng, split), view)

"""``restock/flat-shelf``: pick the named product out of a bin of many and stand it in its facing.

The scene, and the frame of all positions, are those of `sop_envs.tasks.flat_shelf_scene`.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import ConfigurationError
from sop_bench.robot import Outcome, Split, TaskCard
from sop_envs import kinematics as kin
from sop_envs.experts.flat_shelf import FlatShelfExpert
from sop_envs.so101 import JOINTS
from sop_envs.station import Station, draw_station
from sop_envs.tasks.flat_shelf_scene import (
    PARKED_LEFT_RAD,
    SLOT_X_M,
    SLOT_Y_M,
    SLOTS,
    Layout,
    build,
    draw_layout,
    draw_still,
)
from sop_envs.workcell import BASE_Y_M

NAME, VERSION, TIME_LIMIT_S = "restock/flat-shelf", "2", 12.0

SLOT_TOLERANCE_M = 0.026
REACH_M = (0.135, 0.335)  # distance from the base within which a product can be grasped
STANDING_COSINE = 0.90
AT_REST_M_S, AT_REST_RAD_S = 0.04, 0.8
ON_TABLE_M = 0.008
RELEASED_RAD = 0.35  # the jaw is open at least this far

_RIGHT = slice(len(JOINTS), 2 * len(JOINTS))


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

    def advance(self, steps: int) -> None:
        mujoco.mj_step(self.model, self.data, nstep=steps)

    def measure(self) -> None:
        poses, speeds = self.data.qpos[self._qpos], self.data.qvel[self._qvel]
        self.item_m = poses[:, :3] - self._origin
        self.item_m[:, 2] -= self.table_m
        w, x, y, z = poses[:, 3:].T
        self._up = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=1)
        self.upright_cosine = self._up[:, 2]
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
        target += product.height_m / 2 * self._up[self.goal_item]
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
    cameras = ("front", "wrist_right")
    card = TaskCard(
        summary="Pick the named product out of a bin of four to six and stand it in the named shelf slot.",
        success="The named product stands upright in the named slot, at rest, released.",
        failure="Another product or another slot was served, or the named product fell or left the reach.",
        variation="Products, their places and yaws, the slot, an occupied neighbour, the arm's start; "
        "test products are never seen in training.",
    )

    def begin(self, station: Station, rng: np.random.Generator, split: Split) -> FlatShelfSituation:
        return FlatShelfSituation(station, draw_layout(rng, split))

    def still(self, station: Station, rng: np.random.Generator, split: Split) -> FlatShelfSituation:
        view = draw_station(int(rng.integers(1, 2**31)))
        situation = FlatShelfSituation(station, draw_still(rng, split), view)
        if situation.layout.in_hand is not None:
            situation.held = situation.goal_item  # no physics has run, so there are no contacts to tell
        return situation

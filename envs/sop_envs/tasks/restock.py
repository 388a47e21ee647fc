"""What the tasks of the restocking family measure: items, what is held, slots, what is placed or lost.

The frame of all positions is that of `sop_envs.tasks.restock_scene`; a slot is any place that a product can
be asked for.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import ConfigurationError
from sop_envs.arm_state import ArmState
from sop_envs.multipacks import MultiPack
from sop_envs.station import Station
from sop_envs.tasks.restock_scene import Layout
from sop_envs.workcell import BASE_Y_M

SLOT_TOLERANCE_M = 0.026
REACH_M = (0.135, 0.335)  # distance from the base within which a product can be grasped
STANDING_COSINE = 0.90
AT_REST_M_S, AT_REST_RAD_S = 0.04, 0.8
ON_TABLE_M = 0.008
RELEASED_RAD = 0.35  # the jaw is open at least this far


class RestockSituation:
    """One episode: the compiled scene and named measurements of its state.

    `measure` must have run after the last physics step; everything else reads what it found. A task adds
    `instruction`, `outcome` and `expert`, and what else it measures.

    Args:
        slots_m: (x, y) of the places.

    Attributes:
        lying_m: The middle of the base of what lies on its side is below this height.
    """

    lying_m: ClassVar[float] = 0.03

    def __init__(
        self,
        station: Station,
        layout: Layout,
        model: mujoco.MjModel,
        slots_m: Sequence[tuple[float, float]],
    ) -> None:
        self.layout, self.model, self.slots_m = layout, model, tuple(slots_m)
        self.data = mujoco.MjData(model)
        self.table_m = station.table_height_m
        self.goal_item, self.goal_slot = layout.goal_item, layout.goal_slot
        self.count = len(layout.products)
        self.right = ArmState("right")
        self._origin = np.array([0.0, BASE_Y_M["right"], 0.0])
        joints = [model.joint(f"item{i}") for i in range(self.count)]
        self._qpos = np.array([j.qposadr[0] for j in joints])[:, None] + np.arange(7)
        self._qvel = np.array([j.dofadr[0] for j in joints])[:, None] + np.arange(6)
        self._item_of_geom = np.full(model.ngeom, -1)
        for item in range(self.count):
            self._item_of_geom[model.geom_bodyid == model.body(f"item{item}").id] = item
        self._item_of_grip = np.full(model.ngeom, -1)  # the part that a grasp has to close on
        for item in range(self.count):
            self._item_of_grip[model.geom(f"item{item}").id] = item
        self._pads = [model.geom(f"right_{pad}").id for pad in ("fixed_pad", "jaw_pad")]
        start = np.array([*layout.left_rad, *layout.arm_rad])
        self.data.qpos[: len(start)] = start
        self.data.ctrl[:] = start.astype(np.float32)

    def advance(self, steps: int) -> None:
        mujoco.mj_step(self.model, self.data, nstep=steps)

    def measure(self) -> None:
        poses, self._speeds = self.data.qpos[self._qpos], self.data.qvel[self._qvel]
        self.item_m = poses[:, :3] - self._origin
        self.item_m[:, 2] -= self.table_m
        self._turn = _, x, y, _ = poses[:, 3:].T  # quaternions: w, x, y, z of every item
        self.upright_cosine = 1 - 2 * (x * x + y * y)
        at_pads = [set[int](), set[int]()]  # geoms
        if self.data.ncon:
            for first, second in self.data.contact.geom[: self.data.ncon].tolist():
                for pad, geoms in zip(self._pads, at_pads, strict=True):
                    if first == pad:
                        geoms.add(second)
                    elif second == pad:
                        geoms.add(first)
        self.touched = {int(self._item_of_geom[geom]) for geom in at_pads[0] | at_pads[1]} - {-1}
        gripped = [{int(self._item_of_grip[geom]) for geom in geoms} for geoms in at_pads]
        both = (gripped[0] & gripped[1]) - {-1}
        self.held = min(both) if both else None
        self.right.measure(self.data)

    @property
    def up(self) -> NDArray[np.float64]:
        """Unit vectors along the items' own axes, (items, 3)."""
        w, x, y, z = self._turn
        return np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), self.upright_cosine], axis=1)

    @property
    def item_yaw_rad(self) -> NDArray[np.float64]:
        """Of every item, about the vertical."""
        w, x, y, z = self._turn
        return np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))

    @property
    def tcp_m(self) -> NDArray[np.float64]:
        """Of the right arm's tool centre point; its z, as all heights here, counts from the table top."""
        tcp = self.right.tcp
        return np.array([tcp.x_m, tcp.y_m, tcp.z_m - self.table_m])

    def slot_m(self, slot: int) -> NDArray[np.float64]:
        return np.array([*self.slots_m[slot], 0.0])

    def over_slot(self, item: int) -> int | None:
        """The slot that the item is in or above, whatever its height."""
        x, y, _ = self.item_m[item]
        for slot, (slot_x, slot_y) in enumerate(self.slots_m):
            if abs(x - slot_x) <= SLOT_TOLERANCE_M and abs(y - slot_y) <= SLOT_TOLERANCE_M:
                return slot
        return None

    def stands(self, item: int) -> bool:
        """Upright on the table top or what lies on it."""
        return bool(self.upright_cosine[item] > STANDING_COSINE and self.item_m[item, 2] < ON_TABLE_M)

    def slot_of(self, item: int) -> int | None:
        """The slot in which the item stands; None if it lies, hangs or is elsewhere."""
        return self.over_slot(item) if self.stands(item) else None

    def at_rest(self, item: int) -> bool:
        linear, angular = np.sqrt((self._speeds[item].reshape(2, 3) ** 2).sum(1))
        return bool(linear < AT_REST_M_S and angular < AT_REST_RAD_S)

    def released(self, item: int) -> bool:
        """Not touched by a pad, and either far from the hand or below an open jaw."""
        if item in self.touched:
            return False
        apart = math.dist(self.item_m[item, :2], (self.right.tcp.x_m, self.right.tcp.y_m)) > 0.06
        return apart or self.right.jaw_rad > RELEASED_RAD

    def placed_slot(self, item: int) -> int | None:
        """The slot in which the item has been left for good; None if there is none."""
        slot = self.slot_of(item)
        return slot if slot is not None and self.at_rest(item) and self.released(item) else None

    def knocked_over(self, item: int) -> bool:
        """Lies on its side, and nobody holds it."""
        low = self.item_m[item, 2] < self.lying_m
        return bool(
            self.upright_cosine[item] < 0.5 and low and self.at_rest(item) and item not in self.touched
        )

    def topples(self, item: int) -> bool:
        """Leans over further than it can stand, and moves: it is falling."""
        return bool(self.upright_cosine[item] < STANDING_COSINE and not self.at_rest(item))

    def out_of_reach(self, item: int, *, settled: bool = True) -> bool:
        """Rests where the arm cannot grasp it, or fell off the table.

        Args:
            settled: Only what lies still is; otherwise also what slides where the arm cannot grasp it.
        """
        x, y, z = self.item_m[item]
        if z < -0.02:
            return True
        inside = REACH_M[0] < math.hypot(x, y) < REACH_M[1] and x > 0.10
        still = self.at_rest(item) or not settled
        return not inside and still and item not in self.touched

    def _ask_for(self, item: int, slot: int, items: Collection[int], slots: Collection[int]) -> None:
        """Set the goal; raises `ConfigurationError` if it is not among `items` and `slots`."""
        if item not in items or slot not in slots:
            raise ConfigurationError(
                f"No goal (item {item}, slot {slot}) in this scene; allowed: items {list(items)}, slots "
                f"{list(slots)}. Choose among these or reset with another seed."
            )
        self.goal_item, self.goal_slot = item, slot

    def labels(self) -> Mapping[str, NDArray[np.float32]]:
        """Of the goal item (its middle) and its slot, in metres: absolute and as seen from the TCP."""
        target, tcp, slot = self.item_m[self.goal_item].copy(), self.tcp_m, self.slot_m(self.goal_slot)
        product = self.layout.products[self.goal_item]
        target += product.height_m / 2 * self.up[self.goal_item]
        repeats = 2 if isinstance(product, MultiPack) else 4  # looks of an oblong or a square in a full turn
        yaw = 0.0 if product.round else repeats * self.item_yaw_rad[self.goal_item]
        labels = {
            "target_xyz": target,
            "target_minus_tcp": target - tcp,
            "slot_xyz": slot,
            "slot_minus_tcp": slot - tcp,
            "target_yaw": [math.sin(yaw), math.cos(yaw)],
            "held": [float(self.held == self.goal_item)],
        }
        return {name: np.asarray(value, np.float32) for name, value in labels.items()}

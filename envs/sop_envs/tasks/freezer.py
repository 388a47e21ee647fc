"""``restock/freezer``: one arm opens a sprung lid and holds it while the other stocks the named product.

The scene is that of `sop_envs.tasks.freezer_scene`, the measurements those of `sop_envs.tasks.restock`.
Success needs the product at rest in its compartment, let go, and the lid shut again over it.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Outcome, Split, TaskCard
from sop_envs.arm_state import ArmState
from sop_envs.experts.freezer import FreezerExpert
from sop_envs.station import Station, draw_station
from sop_envs.tasks.freezer_scene import (
    INSIDE_X_M,
    INSIDE_Y_M,
    SLOTS,
    SLOTS_M,
    bar_m,
    build,
    draw_layout,
    draw_still,
)
from sop_envs.tasks.restock import RestockSituation
from sop_envs.tasks.restock_scene import Layout
from sop_envs.workcell import BASE_Y_M

NAME, VERSION, TIME_LIMIT_S = "restock/freezer", "2", 20.0

SHUT_RAD = 0.06
HAND_HALF_M = 0.045  # a hand this near to the freezer's side wall is still below the lid
BELOW_LID_M = 0.22  # the highest point of the lid's sweep

_LEFT_TO_RIGHT_M = np.array([0.0, BASE_Y_M["left"] - BASE_Y_M["right"], 0.0])


class FreezerSituation(RestockSituation):
    """One episode of the task."""

    def __init__(
        self, station: Station, layout: Layout, view: Station | None = None, lid_rad: float = 0.0
    ) -> None:
        super().__init__(station, layout, build(station, layout, view), SLOTS_M)
        self.left = ArmState("left")
        lid = self.model.joint("lid")
        self._lid_qpos, self._lid_qvel = int(lid.qposadr[0]), int(lid.dofadr[0])
        self._bar = self.model.geom("bar").id
        self._left_pads = {self.model.geom(f"left_{pad}").id for pad in ("fixed_pad", "jaw_pad")}
        self.data.qpos[self._lid_qpos] = lid_rad
        self.measure()
        self._inside_at_start = [self.inside(item) for item in range(self.count)]

    def measure(self) -> None:
        super().measure()
        self.left.measure(self.data)
        self.lid_rad = float(self.data.qpos[self._lid_qpos])
        self.lid_rad_s = float(self.data.qvel[self._lid_qvel])
        self.bar_m = bar_m(self.lid_rad)
        pads = set[int]()
        if self.data.ncon:
            for first, second in self.data.contact.geom[: self.data.ncon].tolist():
                if self._bar in (first, second):
                    pads.add(second if first == self._bar else first)
        self.lid_held = pads >= self._left_pads

    @property
    def left_tcp_m(self) -> NDArray[np.float64]:
        """Of the left arm, in the frame of all positions here."""
        tcp = self.left.tcp
        return np.array([tcp.x_m, tcp.y_m, tcp.z_m - self.table_m]) + _LEFT_TO_RIGHT_M

    @property
    def hand_below_lid(self) -> bool:
        """The right hand is where the lid goes when it shuts."""
        x, y, z = self.tcp_m
        return bool(
            INSIDE_X_M[0] - 0.05 < x
            and INSIDE_Y_M[0] - HAND_HALF_M < y < INSIDE_Y_M[1] + 2 * HAND_HALF_M
            and z < BELOW_LID_M
        )

    def inside(self, item: int) -> bool:
        """Within the walls of the freezer, as seen from above."""
        x, y, _ = self.item_m[item]
        return bool(INSIDE_X_M[0] < x < INSIDE_X_M[1] and INSIDE_Y_M[0] < y < INSIDE_Y_M[1])

    @property
    def instruction(self) -> str:
        name = self.layout.products[self.goal_item].name
        return f"put the {name} in the {SLOTS[self.goal_slot]} side of the freezer"

    def outcome(self) -> tuple[Outcome, str]:
        goal = self.goal_item
        for item in range(self.count):
            if item == goal:
                continue
            if self._inside_at_start[item] and self.knocked_over(item):
                return Outcome.FAILURE, "knocked a product over"
            left_for_good = self.stands(item) and self.at_rest(item) and self.released(item)
            if left_for_good and self.inside(item) != self._inside_at_start[item]:
                return Outcome.FAILURE, "moved the wrong product"
        slot = self.placed_slot(goal)
        if slot == self.goal_slot:
            shut = self.lid_rad < SHUT_RAD
            return (Outcome.SUCCESS, "stocked") if shut else (Outcome.RUNNING, "")
        if slot is not None:
            return Outcome.FAILURE, "placed in the wrong compartment"
        if self.knocked_over(goal):
            return Outcome.FAILURE, "knocked over"
        if self.out_of_reach(goal):
            return Outcome.FAILURE, "dropped out of reach"
        return Outcome.RUNNING, ""

    def set_goal(self, item: int, slot: int) -> None:
        """Ask for another product that waits, or for another free compartment."""
        allowed = [i for i in range(self.count) if not self._inside_at_start[i]]
        taken = {self.slot_of(i) for i in range(self.count) if self._inside_at_start[i]}
        free = [s for s in range(len(SLOTS)) if s not in taken]
        self._ask_for(item, slot, allowed, free)

    def labels(self) -> Mapping[str, NDArray[np.float32]]:
        """The family's, and the lid: its angle as sine and cosine, its handle, and whether it is held."""
        lid = {
            "handle_xyz": self.bar_m,
            "handle_minus_left_tcp": self.bar_m - self.left_tcp_m,
            "lid": [math.sin(self.lid_rad), math.cos(self.lid_rad)],
            "lid_held": [float(self.lid_held)],
        }
        return {**super().labels(), **{name: np.asarray(value, np.float32) for name, value in lid.items()}}

    def expert(self) -> FreezerExpert:
        return FreezerExpert(self)


class Freezer:
    """Registers the above as a `Task`."""

    name, version, time_limit_s = NAME, VERSION, TIME_LIMIT_S
    cameras = ("front", "wrist_left", "wrist_right")
    card = TaskCard(
        summary="One arm opens a sprung lid and holds it while the other stocks the named product.",
        success="The named product stands in the named compartment, at rest, released, and the lid is shut "
        "over it.",
        failure="Another product was moved or knocked over, the compartment was wrong, or the product fell"
        " or left the reach.",
        variation="Products, their places and yaws, the compartment, what is inside already, the arms' "
        "start; test products are never seen in training.",
    )

    def begin(self, station: Station, rng: np.random.Generator, split: Split) -> FreezerSituation:
        return FreezerSituation(station, draw_layout(rng, split))

    def still(self, station: Station, rng: np.random.Generator, split: Split) -> FreezerSituation:
        view = draw_station(int(rng.integers(1, 2**31)))
        layout, lid_rad = draw_still(rng, split)
        situation = FreezerSituation(station, layout, view, lid_rad)
        if layout.in_hand is not None:
            situation.held = situation.goal_item  # no physics has run, so there are no contacts to tell
        return situation

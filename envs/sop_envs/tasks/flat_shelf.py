"""``restock/flat-shelf``: pick the named product out of a bin of many and stand it in its facing.

The scene is that of `sop_envs.tasks.flat_shelf_scene`, the measurements those of `sop_envs.tasks.restock`.
"""

from __future__ import annotations

import numpy as np

from sop_bench.robot import Outcome, Split, TaskCard
from sop_envs.experts.flat_shelf import FlatShelfExpert
from sop_envs.station import Station, draw_station
from sop_envs.tasks.flat_shelf_scene import SLOT_X_M, SLOT_Y_M, SLOTS, build, draw_layout, draw_still
from sop_envs.tasks.restock import RestockSituation
from sop_envs.tasks.restock_scene import Layout

NAME, VERSION, TIME_LIMIT_S = "restock/flat-shelf", "3", 12.0


class FlatShelfSituation(RestockSituation):
    """One episode of the task."""

    def __init__(self, station: Station, layout: Layout, view: Station | None = None) -> None:
        super().__init__(station, layout, build(station, layout, view), [(SLOT_X_M, y) for y in SLOT_Y_M])
        self._at_start_in_slot = [False] * self.count
        self.measure()
        self._at_start_in_slot = [self.slot_of(item) is not None for item in range(self.count)]

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
        self._ask_for(item, slot, allowed, free)

    def expert(self) -> FlatShelfExpert:
        return FlatShelfExpert(self)


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

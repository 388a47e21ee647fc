"""``restock/cooler``: lift the named multi-pack by its handle over the wall of a cooler into a free bay.

The scene is that of `sop_envs.tasks.cooler_scene`, the measurements those of `sop_envs.tasks.restock`. The
right arm works; the left one may stay parked. Whatever stands in the other bays has to stay on its feet.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sop_bench.robot import Outcome, Split, TaskCard
from sop_envs.experts.cooler import CoolerExpert
from sop_envs.station import Station, draw_station
from sop_envs.tasks.cooler_scene import PACKS, SLOTS, SLOTS_M, build, draw_layout, draw_still
from sop_envs.tasks.restock import RestockSituation
from sop_envs.tasks.restock_scene import Layout

NAME, VERSION, TIME_LIMIT_S = "restock/cooler", "2", 14.0


class CoolerSituation(RestockSituation):
    """One episode of the task; items 0 and 1 are the packs, the others stand in the cooler."""

    lying_m: ClassVar[float] = 0.045

    def __init__(self, station: Station, layout: Layout, view: Station | None = None) -> None:
        super().__init__(station, layout, build(station, layout, view), SLOTS_M)
        self.measure()
        self._bay_of_stock = {item: self.over_bay(item) for item in range(PACKS, self.count)}

    @property
    def instruction(self) -> str:
        name = self.layout.products[self.goal_item].name
        return f"put the {name} in the {SLOTS[self.goal_slot]} bay"

    @property
    def stock(self) -> range:
        """The loose products in the cooler."""
        return range(PACKS, self.count)

    def over_bay(self, item: int) -> int:
        """The bay nearest to the item."""
        return int(np.abs(np.array([y for _, y in SLOTS_M]) - self.item_m[item, 1]).argmin())

    def taken_out(self, item: int) -> bool:
        """A loose product rests outside its bay."""
        x, _, _ = self.item_m[item]
        inside = abs(x - SLOTS_M[0][0]) < 0.05 and self.over_bay(item) == self._bay_of_stock[item]
        return not inside and self.stands(item) and self.at_rest(item) and self.released(item)

    def outcome(self) -> tuple[Outcome, str]:
        goal = self.goal_item
        for item in self.stock:
            if self.knocked_over(item):
                return Outcome.FAILURE, "knocked a product over"
            if self.taken_out(item):
                return Outcome.FAILURE, "took a product out"
        if any(self.placed_slot(item) is not None for item in range(PACKS) if item != goal):
            return Outcome.FAILURE, "stocked the wrong pack"
        slot = self.placed_slot(goal)
        if slot == self.goal_slot:
            return Outcome.SUCCESS, "stocked"
        if slot is not None:
            return Outcome.FAILURE, "stocked the wrong bay"
        if self.knocked_over(goal):
            return Outcome.FAILURE, "knocked over"
        if self.out_of_reach(goal):
            return Outcome.FAILURE, "dropped out of reach"
        return Outcome.RUNNING, ""

    def set_goal(self, item: int, slot: int) -> None:
        """Ask for the other pack, or another free bay."""
        free = [s for s in range(len(SLOTS)) if s not in self._bay_of_stock.values()]
        self._ask_for(item, slot, range(PACKS), free)

    def expert(self) -> CoolerExpert:
        return CoolerExpert(self)


class Cooler:
    """Registers the above as a `Task`."""

    name, version, time_limit_s = NAME, VERSION, TIME_LIMIT_S
    cameras = ("front", "wrist_right")
    card = TaskCard(
        summary="Lift the named multi-pack by its handle over the wall of an open cooler into a free bay.",
        success="The named pack stands in the named bay, at rest, released.",
        failure="Another pack or bay was served, stock was knocked over or taken out, or the pack fell or "
        "left the reach.",
        variation="Packs, their places and yaws, which bays are stocked and with what, the arm's start; test "
        "packs are never seen in training.",
    )

    def begin(self, station: Station, rng: np.random.Generator, split: Split) -> CoolerSituation:
        return CoolerSituation(station, draw_layout(rng, split))

    def still(self, station: Station, rng: np.random.Generator, split: Split) -> CoolerSituation:
        view = draw_station(int(rng.integers(1, 2**31)))
        situation = CoolerSituation(station, draw_still(rng, split), view)
        if situation.layout.in_hand is not None:
            situation.held = situation.goal_item  # no physics has run, so there are no contacts to tell
        return situation

"""``restock/correct``: find the product that stands in a wrong facing and move it to its own.

The scene is that of `sop_envs.tasks.correct_scene`, the measurements those of `sop_envs.tasks.restock`. The
other products are at home already and have to be so at the end: success needs all of them in their facings.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Outcome, Split, TaskCard
from sop_envs.experts.correct import CorrectExpert
from sop_envs.station import Station, draw_station
from sop_envs.tasks.correct_scene import SLOTS, SLOTS_M, ShelfLayout, build, draw_layout, draw_still
from sop_envs.tasks.restock import RestockSituation

NAME, VERSION, TIME_LIMIT_S = "restock/correct", "2", 14.0


class CorrectSituation(RestockSituation):
    """One episode of the task."""

    def __init__(self, station: Station, layout: ShelfLayout, view: Station | None = None) -> None:
        super().__init__(station, layout, build(station, layout, view), SLOTS_M)
        self.homes = list(layout.homes)
        self.measure()
        self._start_slot = self.slot_of(self.goal_item)

    @property
    def instruction(self) -> str:
        name = self.layout.products[self.goal_item].name
        return f"move the {name} to the {SLOTS[self.goal_slot]} slot"

    @property
    def others(self) -> list[int]:
        """All products but the misplaced one."""
        return [item for item in range(self.count) if item != self.goal_item]

    def displaced(self, item: int) -> bool:
        """Does not stand in the facing in which it belongs."""
        return self.slot_of(item) != self.homes[item]

    def outcome(self) -> tuple[Outcome, str]:
        goal = self.goal_item
        for item in self.others:
            if self.knocked_over(item):
                return Outcome.FAILURE, "knocked another product over"
            slot = self.placed_slot(item)
            if slot is not None and slot != self.homes[item]:
                return Outcome.FAILURE, "misplaced another product"
        if self.knocked_over(goal):
            return Outcome.FAILURE, "knocked over"
        if any(self.out_of_reach(item) for item in range(self.count)):
            return Outcome.FAILURE, "dropped out of reach"
        slot = self.placed_slot(goal)
        if slot == self.goal_slot:
            tidy = not any(self.displaced(item) for item in self.others)
            return (Outcome.SUCCESS, "placed") if tidy else (Outcome.RUNNING, "")
        if slot is not None and slot != self._start_slot:
            return Outcome.FAILURE, "placed in the wrong slot"
        return Outcome.RUNNING, ""

    def set_goal(self, item: int, slot: int) -> None:
        """Ask for any `item` of the shelf to be moved to `slot` (a free one); the others stay where they are.

        The tags go on saying what they said: this is for checks of language, not for training.
        """
        taken = {self.slot_of(i) for i in range(self.count)}
        free = [s for s in range(len(SLOTS)) if s not in taken]
        self._ask_for(item, slot, range(self.count), free)
        for other in self.others:
            now = self.slot_of(other)
            self.homes[other] = self.homes[other] if now is None else now
        self.homes[item], self._start_slot = slot, self.slot_of(item)

    def labels(self) -> Mapping[str, NDArray[np.float32]]:
        """The family's, and whether another product has left its facing."""
        disturbed = any(self.displaced(item) for item in self.others)
        return {**super().labels(), "disturbed": np.array([disturbed], np.float32)}

    def expert(self) -> CorrectExpert:
        return CorrectExpert(self)


class Correct:
    """Registers the above as a `Task`."""

    name, version, time_limit_s = NAME, VERSION, TIME_LIMIT_S
    cameras = ("front", "wrist_right")
    card = TaskCard(
        summary="Find the product that stands in a wrong facing, and move it to its own.",
        success="The misplaced product stands in its own facing, at rest, released, and all others are in "
        "theirs.",
        failure="Another product was moved or knocked over, the facing was wrong, or something fell or left "
        "the reach.",
        variation="Products and tags, which one is astray and where, the free facings, yaws, the arm's start;"
        " test products are never seen in training.",
    )

    def begin(self, station: Station, rng: np.random.Generator, split: Split) -> CorrectSituation:
        return CorrectSituation(station, draw_layout(rng, split))

    def still(self, station: Station, rng: np.random.Generator, split: Split) -> CorrectSituation:
        view = draw_station(int(rng.integers(1, 2**31)))
        situation = CorrectSituation(station, draw_still(rng, split), view)
        if situation.layout.in_hand is not None:
            situation.held = situation.goal_item  # no physics has run, so there are no contacts to tell
        return situation

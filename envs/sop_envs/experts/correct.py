"""The scripted expert of ``restock/correct``: demonstrator and intervening human."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sop_envs.experts.restock import RestockExpert

if TYPE_CHECKING:
    from sop_envs.tasks.correct import CorrectSituation

_CROWDED_M = 0.044  # middles of two products nearer than this may touch
_SKIMS_M = 0.006  # what is carried hangs askew; the expert itself passes this low over the tallest


class CorrectExpert(RestockExpert):
    """Moves the misplaced product, then brings home what was pushed out of its facing on the way."""

    letting_go_rad, let_go_rad = 0.60, 0.45  # a jaw wide open would reach into the next facing
    too_low_m, centring_m = 0.009, 0.014

    def __init__(self, situation: CorrectSituation) -> None:
        super().__init__(situation)
        self._s: CorrectSituation = situation

    def _astray(self) -> int | None:
        s, goal = self._s, self._s.goal_item
        if s.slot_of(goal) != s.goal_slot:
            return goal
        if not s.released(goal) or goal in self._under_the_hand():
            return None
        return next((item for item in s.others if s.displaced(item)), None)

    def _under_the_hand(self) -> list[int]:
        """Items that the fingers still surround."""
        s, tcp = self._s, self._arm.tcp
        low = s.tcp_m[2] - s.item_m[:, 2] < 0.05
        near = np.hypot(s.item_m[:, 0] - tcp.x_m, s.item_m[:, 1] - tcp.y_m) < 0.03
        return np.flatnonzero(low & near).tolist()

    def _place_of(self, item: int) -> NDArray[np.float64]:
        return self._s.slot_m(self._s.homes[item])

    def _about_to_misplace(self) -> bool:
        s = self._s
        others = s.touched - {s.goal_item}
        return any(
            s.over_slot(item) not in (None, s.homes[item]) and self._grasp.surrounds(item) for item in others
        )

    def _wrong_slot(self, slot: int) -> bool:
        """Another one than asked for, unless it is about to be lifted from there."""
        s = self._s
        return slot != s.goal_slot and self._arm.commanded_jaw_rad > 0.30 and not s.stands(s.goal_item)

    def _low_carry(self) -> bool:
        s = self._s
        x, y, base = s.item_m[s.goal_item]
        if s.stands(s.goal_item):
            return False
        return any(
            math.hypot(s.item_m[i, 0] - x, s.item_m[i, 1] - y) < _CROWDED_M
            and base < s.layout.products[i].height_m - _SKIMS_M
            for i in s.others
        )

    def _hazard(self) -> str:
        s = self._s
        if any(s.upright_cosine[item] < 0.85 for item in s.others if item != s.held):
            return "toppling another"
        return super()._hazard() or ("disturbed shelf" if any(s.displaced(i) for i in s.others) else "")

    def _lost(self) -> bool:
        s = self._s
        return super()._lost() or any(self._falls(i) or s.out_of_reach(i) for i in s.others)

    def _safe(self) -> bool:
        return super()._safe() and not any(self._s.displaced(item) for item in self._s.others)

"""The scripted expert of ``restock/flat-shelf``: demonstrator and intervening human."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sop_envs.experts.restock import RestockExpert
from sop_envs.tasks.flat_shelf_scene import BIN_X_M, BIN_Y_M
from sop_envs.tasks.restock_scene import SPACING_M


class FlatShelfExpert(RestockExpert):
    """Fetches the named product from the bin; puts another one that it finds in the hand back there."""

    def _place_of(self, item: int) -> NDArray[np.float64]:
        s = self._s
        return s.slot_m(s.goal_slot) if item == s.goal_item else self._free_place(item)

    def _low_carry(self) -> bool:
        s = self._s
        x, y, base = s.item_m[s.goal_item]
        slot = s.slot_m(s.goal_slot)
        to_slot = math.hypot(x - slot[0], y - slot[1])
        return bool(x > (0.5 * (slot[0] + 0.238)) and base < 0.035 and to_slot > 0.035)

    def _free_place(self, item: int) -> NDArray[np.float64]:
        """The free place of the bin nearest to where the item is now."""
        s = self._s
        here = s.item_m[item, :2]
        others = np.delete(s.item_m[:, :2], item, axis=0)
        xs, ys = np.linspace(*BIN_X_M, 5), np.linspace(*BIN_Y_M, 17)
        places = np.array([here, *((x, y) for x in xs for y in ys)])
        inside = (places[:, 0] > BIN_X_M[0] - 0.005) & (places[:, 0] < BIN_X_M[1] + 0.003)
        inside &= np.abs(places[:, 1]) < BIN_Y_M[1] + 0.005
        gap = np.linalg.norm(places[:, None] - others[None], axis=2).min(axis=1)
        cost = (
            np.linalg.norm(places - here, axis=1) + 10 * np.maximum(0, SPACING_M - 0.008 - gap) + 10 * ~inside
        )
        return np.array([*places[cost.argmin()], 0.0])

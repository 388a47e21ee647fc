"""The scripted expert of ``restock/cooler``: demonstrator and intervening human."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sop_envs.experts.arm import Move
from sop_envs.experts.grasp import Grasp
from sop_envs.experts.restock import RestockExpert
from sop_envs.so101 import JAW_CLOSED_RAD
from sop_envs.tasks.cooler_scene import BAY_X_M, GRIP_M, PACK_X_M, PACK_Y_M, PACKS, WALL_M

if TYPE_CHECKING:
    from sop_envs.tasks.cooler import CoolerSituation
    from sop_envs.tasks.restock import RestockSituation

_AT_THE_WALL_M = 0.190  # a pack further out than this is over the near wall
_AISLE_X_M, _ACROSS_M = 0.200, 0.158  # where packs travel sideways: clear of what stands and what waits
_IN_LINE_M = 0.020
_PACKS_APART_M = 0.095  # middle to middle: a finger comes down between them


class HandleGrasp(Grasp):
    """Packs are taken by the handle on their top."""

    def height_m(self, item: int) -> float:
        return GRIP_M if item < PACKS else super().height_m(item)

    def tcp_m(self, item: int) -> tuple[float, float, float]:
        x, y, z = self._s.item_m[item] + self.height_m(item) * self._s.up[item]
        return x, y, z

    def jaw_yaw_rad(self, item: int) -> float:
        return math.pi / 2 + _half_turned(self._s, item) if item < PACKS else super().jaw_yaw_rad(item)


class CoolerExpert(RestockExpert):
    """Takes the pack by its handle, goes sideways in front of the cooler, then over the wall into the bay."""

    hover_m, carry_m = 0.104, 0.132  # the fingers clear a handle, the pack clears the wall
    letting_go_rad, let_go_rad = 0.50, 0.40  # a jaw wide open would reach into the next bay
    too_low_m, centring_m, descending_m, clear_m = 0.009, GRIP_M - 0.006, 0.080, 0.088

    def __init__(self, situation: CoolerSituation) -> None:
        super().__init__(situation, HandleGrasp(situation))
        self._s: CoolerSituation = situation

    def _place_of(self, item: int) -> NDArray[np.float64]:
        s = self._s
        if item == s.goal_item:
            return s.slot_m(s.goal_slot)
        start = s.layout.positions_m[item]
        return np.array([*start, 0.0]) if item >= PACKS else self._waiting_place(item, start)

    def _waiting_place(self, item: int, start: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where a pack may stand in front of the cooler: where it came from, or beside what stands there."""
        s = self._s
        ys = np.linspace(PACK_Y_M[0][0], PACK_Y_M[1][1], 23)
        places = np.array([start, *((sum(PACK_X_M) / 2, y) for y in ys)])
        gap = np.abs(s.item_m[1 - item, 1] - places[:, 1])
        cost = np.linalg.norm(places - s.item_m[item, :2], axis=1) + 10 * np.maximum(0, _PACKS_APART_M - gap)
        cost[0] -= 0.05
        return np.array([*places[cost.argmin()], 0.0])

    def _about_to_misplace(self) -> bool:
        s = self._s
        others = (item for item in range(PACKS) if item != s.goal_item)
        return any(s.over_slot(item) is not None and self._grasp.surrounds(item) for item in others)

    def _carry(self, item: int, place: NDArray[np.float64]) -> Move:
        """A pack goes sideways above the one that waits and in front of loose products, then in."""
        s, tcp = self._s, self._arm.tcp
        x, y, _ = self._grasp.tcp_m(item)
        lifted = s.tcp_m[2] > self.carry_m - 0.020
        if item >= PACKS or not lifted or abs(place[1] - y) < _IN_LINE_M:
            return super()._carry(item, place)
        up = s.tcp_m[2] > _ACROSS_M - 0.020 and x < _AISLE_X_M + 0.020
        aside = place[1] if up or abs(place[1] - y) < 2 * _IN_LINE_M else y
        return self._to(
            _AISLE_X_M + tcp.x_m - x, aside + tcp.y_m - y, _ACROSS_M, JAW_CLOSED_RAD, self._turn_of(item)
        )

    def _turn_of(self, item: int) -> float | None:
        """Packs end up square to the cooler."""
        return self._arm.tcp.jaw_yaw_rad - _half_turned(self._s, item) if item < PACKS else None

    def _low_carry(self) -> bool:
        s = self._s
        x, y, base = s.item_m[s.goal_item]
        slot = s.slot_m(s.goal_slot)
        within = abs(x - slot[0]) < 0.022 and abs(y - slot[1]) < 0.012
        return bool(_AT_THE_WALL_M < x < 2 * BAY_X_M and base < WALL_M + 0.003 and not within)

    def _hazard(self) -> str:
        s = self._s
        if any(s.upright_cosine[item] < 0.85 for item in s.stock if item != s.held):
            return "toppling a product"
        return super()._hazard()

    def _lost(self) -> bool:
        s = self._s
        return super()._lost() or any(self._falls(item) for item in s.stock)


def _half_turned(situation: RestockSituation, item: int) -> float:
    """Yaw of a pack, which looks the same after half a turn: in [-pi/2, pi/2)."""
    return (float(situation.item_yaw_rad[item]) + math.pi / 2) % math.pi - math.pi / 2

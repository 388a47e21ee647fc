"""How a hand takes an item of the restocking family: from above, across it, with room for both fingers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sop_envs.so101 import FIXED_FACE_M, jaw_face_m

if TYPE_CHECKING:
    from sop_envs.tasks.restock import RestockSituation

GRASP_SHARE, GRASP_RANGE_M = 0.45, (0.019, 0.025)  # grasp height: just above the centre of mass
SLIPS_M = 0.012  # across the pads: a round product slips out beyond
FINGERS_M, FINGER_ROOM_M = (-0.046, 0.050), 0.021  # open fingers from the TCP; room to a product's middle
ROUND_TURNS_RAD = (0.0, 0.4, -0.4, 0.8, -0.8)  # tried in this order on what can be gripped at any yaw


class Grasp:
    """By the right arm, on the privileged measurements of a situation."""

    def __init__(self, situation: RestockSituation) -> None:
        self._s, self._arm = situation, situation.right

    def height_m(self, item: int) -> float:
        """Of the TCP above the base of the item."""
        return float(np.clip(GRASP_SHARE * self._s.layout.products[item].height_m, *GRASP_RANGE_M))

    def tcp_m(self, item: int) -> tuple[float, float, float]:
        """Where the TCP has to be to grip the item."""
        x, y, base = self._s.item_m[item]
        return x, y, base + self.height_m(item)

    def jaw_yaw_rad(self, item: int) -> float:
        """Across the item, along the shelf if possible, and with room for both fingers between neighbours."""
        s, quarter = self._s, math.pi / 2
        if s.layout.products[item].round:
            choices = [quarter + turn for turn in ROUND_TURNS_RAD]
        else:
            yaw = (float(s.item_yaw_rad[item]) + quarter / 2) % quarter - quarter / 2
            choices = [quarter + yaw, quarter + yaw + (-quarter if yaw > 0 else quarter)]
        return min(choices, key=lambda choice: self._neighbours_hit(item, choice))  # the first of equals

    def _neighbours_hit(self, item: int, jaw_yaw_rad: float) -> int:
        """How many products stand where the fingers of an open jaw around `item` would come down."""
        cosine, sine, hit = math.cos(jaw_yaw_rad), math.sin(jaw_yaw_rad), 0
        x, y, _ = self._s.item_m[item]
        for other in range(self._s.count):
            dx, dy = self._s.item_m[other, 0] - x, self._s.item_m[other, 1] - y
            along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
            in_the_way = any(abs(along - finger) < FINGER_ROOM_M for finger in FINGERS_M)
            hit += other != item and in_the_way and abs(across) < FINGER_ROOM_M
        return hit

    def seen_from_jaw_m(self, item: int) -> tuple[float, float]:
        """Middle of the item from the TCP: along the direction of opening, and across it."""
        tcp = self._arm.tcp
        x, y, _ = self.tcp_m(item)
        dx, dy = x - tcp.x_m, y - tcp.y_m
        cosine, sine = math.cos(tcp.jaw_yaw_rad), math.sin(tcp.jaw_yaw_rad)
        return dx * cosine + dy * sine, dy * cosine - dx * sine

    def surrounds(self, item: int) -> bool:
        """Alone between the pads, as far as the jaw is open now, and not so far out that it slips away."""
        low, high = FIXED_FACE_M + 0.002, jaw_face_m(self._arm.jaw_rad) - 0.008
        inside: list[int] = []
        for other in range(self._s.count):
            along, across = self.seen_from_jaw_m(other)
            room = SLIPS_M if other == item else 2 * SLIPS_M
            if low < along < high and abs(across) < room:
                inside.append(other)
        return inside == [item]

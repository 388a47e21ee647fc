"""How the right hand takes a product outside or inside a freezer: with walls for its fingers to miss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sop_envs.experts.grasp import FINGER_ROOM_M, FINGERS_M, Grasp
from sop_envs.so101 import FIXED_FACE_M, JAW_OPEN_RAD, jaw_face_m
from sop_envs.tasks.freezer_scene import HINGE_X_M, INSIDE_X_M, INSIDE_Y_M, LID_M

if TYPE_CHECKING:
    from sop_envs.tasks.freezer import FreezerSituation

_FINGER_BESIDE_M = 0.070  # from the middle of a product to a wall, for a finger between them
_INSIDE_ROOM_M, _OUTSIDE_ROOM_M = (
    0.004,
    0.009,
)  # of the middle of a finger to a wall; between walls it is tight
_LID_EDGE_X_M, _SIDE_Y_M = HINGE_X_M - LID_M, INSIDE_Y_M[0] - 0.006  # of the shut freezer, from outside
_TURNS_RAD = (0.0, 0.4, -0.4, 0.8, -0.8, 1.2, -1.2, math.pi / 2)  # of a round product, in this order


class FreezerGrasp(Grasp):
    """Across or along the near wall, as there is room for the fingers."""

    def __init__(self, situation: FreezerSituation) -> None:
        super().__init__(situation)
        self._s: FreezerSituation = situation

    def jaw_yaw_rad(self, item: int) -> float:
        """With fingers off walls and neighbours; of what stands close to the near wall, along it."""
        across = super().jaw_yaw_rad(item)
        round_, y = self._s.layout.products[item].round, self._s.item_m[item, 1]
        along = across - math.pi / 2
        preferred = across
        if INSIDE_Y_M[0] - _FINGER_BESIDE_M < y < INSIDE_Y_M[0]:
            preferred = along if round_ else min(along, across, key=abs)
        others = [math.pi / 2 + turn for turn in _TURNS_RAD] if round_ else [across, along]
        return min([preferred, *others], key=lambda yaw: self._in_the_way(item, yaw))  # the first of equals

    def _in_the_way(self, item: int, jaw_yaw_rad: float) -> int:
        """Fingers that would come down on something, and neighbours that they would grip with the item."""
        neighbours = self._neighbours_hit(item, jaw_yaw_rad) + self._neighbours_gripped(item, jaw_yaw_rad)
        return neighbours + self._walls_hit(item, jaw_yaw_rad)

    def _neighbours_gripped(self, item: int, jaw_yaw_rad: float) -> int:
        """How many products stand between the open fingers besides `item`: around two, no jaw closes."""
        cosine, sine, count = math.cos(jaw_yaw_rad), math.sin(jaw_yaw_rad), 0
        for other in range(self._s.count):
            dx, dy = self._s.item_m[other, :2] - self._s.item_m[item, :2]
            along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
            between = FIXED_FACE_M < along < jaw_face_m(JAW_OPEN_RAD)
            count += other != item and between and abs(across) < FINGER_ROOM_M + 0.004
        return count

    def _walls_hit(self, item: int, jaw_yaw_rad: float) -> int:
        """How many fingers would come down on a wall, from the side of the walls on which the item is."""
        along = np.array(FINGERS_M)
        forward = np.array([math.cos(jaw_yaw_rad), math.sin(jaw_yaw_rad)])
        fingers_m = self._s.item_m[item, :2] + along[:, None] * forward
        inside = self._s.inside(item)
        least_m = _INSIDE_ROOM_M if inside else _OUTSIDE_ROOM_M
        return int((_room_to_walls_m(fingers_m, inside) < least_m).sum())


def _room_to_walls_m(points_m: NDArray[np.float64], inside: bool) -> NDArray[np.float64]:
    """From points (..., 2) to the nearest wall."""
    x, y = points_m[..., 0], points_m[..., 1]
    if not inside:
        return np.maximum(_LID_EDGE_X_M - x, _SIDE_Y_M - y)
    (low_x, high_x), (low_y, high_y) = INSIDE_X_M, INSIDE_Y_M
    return np.minimum(np.minimum(x - low_x, high_x - x), np.minimum(y - low_y, high_y - y))

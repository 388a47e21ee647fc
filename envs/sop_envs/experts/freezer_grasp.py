"""How the right hand takes a product outside or inside a freezer: with walls for its fingers to miss.

Where a jaw wide open around the middle of the product would come down on something, the hand looks for a
pinch that does not: with the jaw less open, another turn, or one finger close to the product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
_TURNS_RAD = (0.0, 0.4, -0.4, 0.8, -0.8, 1.2, -1.2, math.pi / 2)  # of a round product, in this order

_PRODUCT_HALF_M, _FINGER_THICK_M, _FINGER_WIDE_M = 0.018, 0.013, 0.010  # wide: from its middle
_OPENINGS_RAD = (JAW_OPEN_RAD, 0.70, 0.55, 0.45)
_ALONG_M, _ACROSS_M = (0.0, 0.005, -0.005, -0.010, -0.014), (0.0, 0.005, -0.005)  # product from the TCP
_LID_EDGE_X_M, _SIDE_Y_M = HINGE_X_M - LID_M, INSIDE_Y_M[0] - 0.006  # of the shut freezer, from outside
_PINCH_TOLERANCE_M = 0.005
_AMPLE_M = 0.005  # of room beside a finger: more is not better
_ROLL_RAD = 2.5  # of the wrist, either way


@dataclass(frozen=True)
class Pinch:
    """How an open hand comes down around a product.

    Attributes:
        tcp_m: x and y of the TCP.
    """

    tcp_m: tuple[float, float]
    jaw_yaw_rad: float
    opening_rad: float


class FreezerGrasp(Grasp):
    """Across or along the near wall, as there is room for the fingers."""

    def __init__(self, situation: FreezerSituation) -> None:
        super().__init__(situation)
        self._s: FreezerSituation = situation

    def approach_m(self, item: int) -> tuple[float, float, float]:
        pinch = self._pinch(item)
        x, y, height = self.tcp_m(item)
        return (x, y, height) if pinch is None else (*pinch.tcp_m, height)

    def opening_rad(self, item: int) -> float:
        pinch = self._pinch(item)
        return JAW_OPEN_RAD if pinch is None else pinch.opening_rad

    def jaw_yaw_rad(self, item: int) -> float:
        """With fingers off walls and neighbours; of what stands close to the near wall, along it."""
        pinch = self._pinch(item)
        return self._wide_yaw_rad(item) if pinch is None else pinch.jaw_yaw_rad

    def tolerance_m(self, item: int) -> float:
        return math.inf if self._pinch(item) is None else _PINCH_TOLERANCE_M

    def _wide_yaw_rad(self, item: int) -> float:
        """For a jaw wide open around the middle of the product."""
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
        x, y, _ = self._s.item_m[item]
        along = np.array(FINGERS_M)
        fingers = np.stack([x + along * math.cos(jaw_yaw_rad), y + along * math.sin(jaw_yaw_rad)], axis=-1)
        inside = self._s.inside(item)
        least = _INSIDE_ROOM_M if inside else _OUTSIDE_ROOM_M
        return int((self._room_to_walls_m(fingers, inside) < least).sum())

    @staticmethod
    def _room_to_walls_m(points_m: NDArray[np.float64], inside: bool) -> NDArray[np.float64]:
        """From points (..., 2) to the nearest wall, on the side of the walls on which the product is."""
        x, y = points_m[..., 0], points_m[..., 1]
        if not inside:
            return np.maximum(_LID_EDGE_X_M - x, _SIDE_Y_M - y)
        (low_x, high_x), (low_y, high_y) = INSIDE_X_M, INSIDE_Y_M
        return np.minimum(np.minimum(x - low_x, high_x - x), np.minimum(y - low_y, high_y - y))

    def _pinch(self, item: int) -> Pinch | None:
        """Of all, the first with most room about its fingers; ``None`` where the usual grasp has enough."""
        if self._in_the_way(item, self._wide_yaw_rad(item)) == 0:
            return None
        s = self._s
        turn = 0.0 if s.layout.products[item].round else float(s.item_yaw_rad[item])
        steps = 16 if s.layout.products[item].round else 4
        yaws = math.pi / 2 + turn + np.arange(steps) * 2 * math.pi / steps
        x, y, _ = s.item_m[item]
        straight = math.atan2(y, x - 0.0388) + math.pi / 2
        yaws = straight + (yaws - straight + math.pi) % (2 * math.pi) - math.pi
        yaws = yaws[np.argsort(np.abs(yaws - math.pi / 2))]
        yaws = yaws[np.abs(yaws - straight) < _ROLL_RAD]
        grid = np.meshgrid(yaws, _ACROSS_M, _ALONG_M, _OPENINGS_RAD, indexing="ij")
        yaw, across, along, opening = (part.ravel() for part in grid)
        forward = np.stack([np.cos(yaw), np.sin(yaw)], axis=1)
        sideways = np.stack([-np.sin(yaw), np.cos(yaw)], axis=1)
        tcp = np.array([x, y]) - along[:, None] * forward - across[:, None] * sideways
        face = np.array([jaw_face_m(a) for a in _OPENINGS_RAD])[
            np.searchsorted(-np.array(_OPENINGS_RAD), -opening)
        ]
        room = np.minimum(along - FIXED_FACE_M, face - along) - _PRODUCT_HALF_M
        fixed = np.full_like(face, FIXED_FACE_M)
        for near in (fixed - _FINGER_THICK_M, fixed, face, face + _FINGER_THICK_M):
            for side in (-_FINGER_WIDE_M, 0.0, _FINGER_WIDE_M):
                corner = tcp + near[:, None] * forward + side * sideways
                room = np.minimum(room, self._room_to_walls_m(corner, s.inside(item)))
                for other in range(s.count):
                    if other != item:
                        apart = np.linalg.norm(corner - s.item_m[other, :2], axis=1)
                        room = np.minimum(room, apart - _PRODUCT_HALF_M)
        best = int(np.minimum(room, _AMPLE_M).argmax())
        return Pinch((float(tcp[best, 0]), float(tcp[best, 1])), float(yaw[best]), float(opening[best]))

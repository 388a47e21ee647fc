"""The scripted expert of ``restock/freezer``: the left arm keeps the lid, the right arm stocks.

Neither arm knows what the other has done; each looks at the lid's angle, at who touches what and at where
the hands are. The right arm waits beside the freezer until the lid is open and held; the left arm keeps it
so until the product stands in its compartment and the right hand is out, then lets go.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sop_envs.experts.arm import RESTOCKING, Move
from sop_envs.experts.freezer_grasp import FreezerGrasp
from sop_envs.experts.freezer_lid import LidHand
from sop_envs.experts.restock import LAG_LIMIT_M, RestockExpert
from sop_envs.so101 import JAW_CLOSED_RAD, JAW_OPEN_RAD
from sop_envs.tasks.freezer_scene import (
    HINGE_X_M,
    INSIDE_X_M,
    INSIDE_Y_M,
    RIM_M,
    WAITING_X_M,
    WAITING_Y_M,
)
from sop_envs.tasks.restock_scene import SPACING_M

if TYPE_CHECKING:
    from sop_envs.tasks.freezer import FreezerSituation

HELD_OPEN_RAD, WIDE_OPEN_RAD = 1.32, 1.52  # wide, for a hand that reaches in below it
OPEN_ENOUGH_RAD = 1.12  # from here on the other hand may go in
LET_GO_RAD = 0.40  # the left hand lowers the lid to here; the spring does the rest
BESIDE_M = (0.215, -0.100)  # where the right hand waits for the lid, and goes when it is done

_LOW_RAD = 0.6  # a lid below here can still wait for an arm in its way
_HIGH_M = 0.13  # nothing that is put into the freezer is ever carried so high
_DEEP_X_M = 0.250  # over what is further in hangs the lid
_BEHIND_M = (0.335, 0.13)  # x and height to which a hand behind the freezer rises


class FreezerExpert(RestockExpert):
    """Moves both arms."""

    carry_m = 0.104  # an arm droops by 10 mm, and the base of a product shall clear the rim by more than 3
    letting_go_rad, let_go_rad = 0.60, 0.45  # a jaw wide open would reach into the next compartment
    too_low_m, centring_m = 0.009, 0.014
    hovering_lag_m = LAG_LIMIT_M  # a stretched arm would hover beside what stands far in for good

    def __init__(self, situation: FreezerSituation) -> None:
        super().__init__(situation, FreezerGrasp(situation))
        self._s: FreezerSituation = situation
        self._left, self._lid = situation.left, LidHand(situation)

    def act(self) -> NDArray[np.float32]:
        action = super().act()
        action[self._left.joints] = RESTOCKING.towards(self._left, self._due_left())
        return action

    # ----------------------------------------------------------------------------------- the right arm

    def _due(self) -> Move:
        s, tcp = self._s, self._arm.tcp
        if self._behind:
            # A finger hooks under the lid there, on the straight way up.
            x, y = max(tcp.x_m, _BEHIND_M[0]), self._arm.commanded_tcp.y_m
            return self._to(x, y, _BEHIND_M[1], JAW_OPEN_RAD)
        if s.held is not None:
            return self._carry(s.held, self._place_of(s.held))
        astray = self._astray()
        if astray is not None:
            on_lid = self._on_lid(astray)
            blocked = s.inside(astray) and not self._way_is_free and s.tcp_m[2] > RIM_M and not on_lid
            return self._wait(self.hover_m, JAW_OPEN_RAD) if blocked else self._fetch(astray)
        goal_x, goal_y, _ = s.item_m[s.goal_item]
        above = s.tcp_m[2] - s.item_m[s.goal_item, 2] > self.hover_m - 0.025
        away = math.hypot(tcp.x_m - goal_x, tcp.y_m - goal_y) > 0.05
        return (
            self._wait(self.hover_m, self._arm.commanded_jaw_rad)
            if above or away
            else self._let_go(s.goal_item)
        )

    def _let_go(self, item: int) -> Move:
        """Not with fingers so low that they push the product along."""
        s, here = self._s, self._arm.commanded_tcp
        low = s.tcp_m[2] - s.item_m[item, 2] < self.centring_m - 0.004
        if low and self._arm.jaw_rad > self.let_go_rad:
            return self._to(here.x_m, here.y_m, here.z_m - s.table_m + 0.01, self.letting_go_rad)
        return super()._let_go(item)

    def _wait(self, height_m: float, jaw_rad: float) -> Move:
        """Beside the freezer, out of the way of the lid."""
        x, y = BESIDE_M
        return self._to(x, y, height_m, jaw_rad)

    @property
    def _behind(self) -> bool:
        """The empty right hand hangs down behind the freezer."""
        x, y, z = self._s.tcp_m
        return bool(self._s.held is None and x > HINGE_X_M and y > INSIDE_Y_M[0] and z < RIM_M + 0.02)

    @property
    def _way_is_free(self) -> bool:
        return self._s.lid_held and self._s.lid_rad > OPEN_ENOUGH_RAD

    def _carry(self, item: int, place: NDArray[np.float64]) -> Move:
        s = self._s
        bound_inside = INSIDE_X_M[0] < place[0] < INSIDE_X_M[1] and place[1] > INSIDE_Y_M[0]
        lifted = s.tcp_m[2] > self.carry_m - 0.020
        if bound_inside and lifted and not s.inside(item) and not self._way_is_free:
            return self._wait(self.carry_m, JAW_CLOSED_RAD)
        base = s.item_m[item, 2]
        above = s.tcp_m[2] > _HIGH_M or (base > RIM_M and s.lid_rad < _LOW_RAD)
        if above and s.tcp_m[1] > INSIDE_Y_M[0] and not self._way_is_free:
            # Above a lid that comes up or down: out as high as it is, or product and lid press on each other.
            return self._wait(self._arm.commanded_tcp.z_m - s.table_m, JAW_CLOSED_RAD)
        if bound_inside and lifted and not s.inside(item) and base < RIM_M + 0.004:
            here = self._arm.commanded_tcp  # gripped high, it hangs low
            return self._to(here.x_m, here.y_m, here.z_m - s.table_m + 0.02, JAW_CLOSED_RAD)
        return super()._carry(item, place)

    def _place_of(self, item: int) -> NDArray[np.float64]:
        s = self._s
        if item == s.goal_item:
            return s.slot_m(s.goal_slot)
        start = s.layout.positions_m[item]
        if start[1] > INSIDE_Y_M[0]:
            return np.array([*start, 0.0])
        return self._waiting_place(item, start)

    def _turn_of(self, item: int) -> float | None:
        """The jaw opens along the freezer: turned with the arm, its fingers would meet the near wall."""
        return math.pi / 2

    def _waiting_place(self, item: int, start: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where the product came from, or the nearest free place beside the freezer."""
        s = self._s
        xs, ys = np.linspace(*WAITING_X_M, 6), np.linspace(*WAITING_Y_M, 6)
        places = np.array([start, *((x, y) for x in xs for y in ys)])
        others = np.delete(s.item_m[:, :2], item, axis=0)
        gap = np.linalg.norm(places[:, None] - others[None], axis=2).min(axis=1)
        cost = np.linalg.norm(places - start, axis=1) + 10 * np.maximum(0, SPACING_M - 0.008 - gap)
        return np.array([*places[cost.argmin()], 0.0])

    # ------------------------------------------------------------------------------------ the left arm

    @property
    def _arm_over_lid(self) -> bool:
        """The right hand is so far out that a lid that opens would pin its arm."""
        x, y, _ = self._s.tcp_m
        return bool(x > HINGE_X_M - 0.02 and y > INSIDE_Y_M[0] - 0.09)

    def _on_lid(self, item: int) -> bool:
        """Stands on the freezer: the lid stays shut until it is fetched from there."""
        s = self._s
        x, y, base = s.item_m[item]
        above = INSIDE_X_M[0] - 0.02 < x < HINGE_X_M + 0.01 and y > INSIDE_Y_M[0] - 0.02
        return bool(above and base > RIM_M - 0.01 and s.held != item and s.lid_rad < _LOW_RAD)

    def _hover_over_m(self, item: int) -> float:
        base = self._s.item_m[item, 2]
        return self.hover_m + (base if self._on_lid(item) else 0.0)

    @property
    def _open_rad(self) -> float:
        astray = self._astray()
        if astray is None or not self._s.inside(astray):
            return HELD_OPEN_RAD
        deep = self._s.item_m[astray, 0] > _DEEP_X_M
        # A hand that opens towards the lid is wider there than one that opens along it.
        turned = abs(math.cos(self._grasp.jaw_yaw_rad(astray))) > 0.4
        return WIDE_OPEN_RAD if deep or turned else HELD_OPEN_RAD

    @property
    def _done(self) -> bool:
        """The lid may shut."""
        s = self._s
        return s.slot_of(s.goal_item) == s.goal_slot and s.released(s.goal_item) and not s.hand_below_lid

    def _due_left(self) -> Move:
        s = self._s
        if not self._done:
            if not s.lid_held:
                return self._lid.reach()
            held_over = s.held is not None and s.inside(s.held) and s.lid_rad < _LOW_RAD
            if self._on_lid(s.goal_item) or held_over:
                return self._lid.swing(0.0)
            waits = self._arm_over_lid and s.lid_rad < _LOW_RAD
            return self._lid.swing(min(s.lid_rad, LET_GO_RAD) if waits else self._open_rad)
        if s.lid_held and s.lid_rad > LET_GO_RAD:
            return self._lid.swing(LET_GO_RAD - 0.1)
        return self._lid.release()

    # --------------------------------------------------------------------------------------- assessing

    def _low_carry(self) -> bool:
        s = self._s
        x, y, base = s.item_m[s.goal_item]
        near_wall = min(abs(x - INSIDE_X_M[0]), abs(x - INSIDE_X_M[1]), abs(y - INSIDE_Y_M[0])) < 0.020
        over = INSIDE_X_M[0] - 0.02 < x and INSIDE_Y_M[0] - 0.02 < y
        return bool(over and near_wall and base < RIM_M + 0.003)

    def _hazard(self) -> str:
        s = self._s
        shutting = s.lid_rad < OPEN_ENOUGH_RAD - 0.15 or (not s.lid_held and s.lid_rad_s < -0.2)
        if s.hand_below_lid and shutting:
            return "lid on hand"
        if not s.lid_held and s.lid_rad > 0.15 and s.lid_rad_s < -0.2 and not self._done:
            return "lid let go"
        return super()._hazard()

    def _lost(self) -> bool:
        s = self._s
        return super()._lost() or any(self._falls(i) and s.inside(i) for i in range(s.count))

    def _safe(self) -> bool:
        s = self._s
        if s.hand_below_lid:
            return self._way_is_free and super()._safe()
        return super()._safe()

    def _progress(self) -> float:
        s = self._s
        if s.slot_of(s.goal_item) == s.goal_slot:
            return 0.8 + (0.1 + 0.1 * max(0.0, 1 - s.lid_rad / HELD_OPEN_RAD) if self._done else 0.0)
        return 0.6 * super()._progress() + 0.2 * min(1.0, s.lid_rad / HELD_OPEN_RAD)

"""What the scripted experts of the restocking family share: fetch, carry, put back, let go.

They remember nothing. Each call looks at the state, decides which move is due and takes one step of it with
the right arm. A task says what is astray and where things belong, and may change the clearances.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Assessment
from sop_envs.arm_state import ArmState
from sop_envs.experts.arm import RESTOCKING, Move, lag_m
from sop_envs.experts.grasp import Grasp
from sop_envs.so101 import JAW_CLOSED_RAD, JAW_OPEN_RAD, JAW_PARALLEL_RAD

if TYPE_CHECKING:
    from sop_envs.tasks.restock import RestockSituation

HOVER_M = 0.088  # fingertips clear the tallest product
CARRY_M = 0.098  # what is carried clears it too
ALIGNED_M, FUNNEL_M = 0.008, 0.016  # lateral error allowed at the start and at the end of a descent
PLACED_M = 0.008
TOUCHDOWN_M = 0.004
EMPTY_JAW_RAD = JAW_PARALLEL_RAD - 0.10  # closed further than around any product: they are 29-36 mm wide
CENTRED_M = 0.007  # across the pads, to start to close
LAG_LIMIT_M = 0.012  # of droop and friction, made up for when nearly there


class RestockExpert:
    """Implements `Expert` on the privileged measurements of a situation; one subclass a task.

    Attributes:
        hover_m, carry_m: Heights of the TCP above the table at which the empty hand and a carried item clear
            everything.
        letting_go_rad, let_go_rad: How far the jaw is told to open over a placed item, and from when on it
            counts as open.
        too_low_m: Below its grasp height by this much, the hand does not close: its fingers may be wedged.
        centring_m: Least height above the base of a placed item at which the fingers move sideways; lower
            ones may scrape along the ground. (The defaults are those of flat-shelf's reference records.)
        descending_m: Height below which an open hand is on its way down to something.
        hovering_lag_m: Of droop and friction, made up for by an open hand that is to hover over an item.
        clear_m: Height above the base of an item from which on no finger surrounds it.
    """

    hover_m: ClassVar[float] = HOVER_M
    carry_m: ClassVar[float] = CARRY_M
    letting_go_rad: ClassVar[float] = JAW_OPEN_RAD
    let_go_rad: ClassVar[float] = 0.6
    too_low_m: ClassVar[float] = 0.014
    centring_m: ClassVar[float] = -math.inf
    descending_m: ClassVar[float] = 0.050
    hovering_lag_m: ClassVar[float] = 0.0
    clear_m: ClassVar[float] = 0.05

    def __init__(self, situation: RestockSituation, grasp: Grasp | None = None) -> None:
        self._s, self._arm = situation, situation.right
        self._grasp = grasp or Grasp(situation)

    def act(self) -> NDArray[np.float32]:
        action = self._s.data.ctrl.astype(np.float32)
        action[self._arm.joints] = RESTOCKING.towards(self._arm, self._due())
        return action

    def _due(self) -> Move:
        s = self._s
        if s.held is not None:
            return self._carry(s.held, self._place_of(s.held))
        astray = self._astray()
        return self._let_go(s.goal_item) if astray is None else self._fetch(astray)

    # ------------------------------------------------------------------------------ what a task may change

    def _astray(self) -> int | None:
        """The item to fetch next; None once all are where they belong."""
        s = self._s
        return None if s.slot_of(s.goal_item) == s.goal_slot else s.goal_item

    def _place_of(self, item: int) -> NDArray[np.float64]:
        """Where the item in the hand is to be put."""
        raise NotImplementedError

    def _about_to_misplace(self) -> bool:
        """Another item is just being let go where that would end the episode."""
        s = self._s
        others = s.touched - {s.goal_item}
        return any(s.over_slot(item) is not None and self._grasp.surrounds(item) for item in others)

    def _hover_over_m(self, item: int) -> float:
        """Height of the TCP above the table at which the empty hand goes over the item."""
        del item
        return self.hover_m

    def _turn_of(self, item: int) -> float | None:
        """Jaw yaw at which the carried item is put down; None: as it was gripped."""
        return None

    # ------------------------------------------------------------------------------------------------ moves

    def _carry(self, item: int, place: NDArray[np.float64]) -> Move:
        """Lift, travel above everything, lower, open; the item hangs off the TCP by a measured offset."""
        s, tcp, here = self._s, self._arm.tcp, self._arm.commanded_tcp
        (x, y, _), height = self._grasp.tcp_m(item), s.item_m[item, 2]
        to_x, to_y = place[0] + tcp.x_m - x, place[1] + tcp.y_m - y
        tcp_height = s.tcp_m[2]
        hanging = tcp_height - height  # of the TCP above the base of the item
        away = math.hypot(place[0] - x, place[1] - y)
        turn = self._turn_of(item)
        if away > 2 * PLACED_M:
            ready = tcp_height > self.carry_m - 0.020
            if not ready:
                return self._to(here.x_m, here.y_m, self.carry_m + 0.01, JAW_CLOSED_RAD)
            return self._to(to_x, to_y, self.carry_m, JAW_CLOSED_RAD, turn)
        pressing = tcp_height - (here.z_m - s.table_m) > 0.008
        if height > TOUCHDOWN_M and not (pressing and height < 3 * TOUCHDOWN_M):
            descent = self.carry_m if away > PLACED_M and height > 0.02 else hanging - 0.004
            return self._to(to_x, to_y, descent, JAW_CLOSED_RAD, turn)
        return self._stay(self._arm, self.letting_go_rad)

    def _let_go(self, item: int) -> Move:
        """Open, centre the jaw on the item so that no finger drags it along, then lift."""
        s, tcp, here = self._s, self._arm.tcp, self._arm.commanded_tcp
        x, y, height = s.item_m[item]
        if s.tcp_m[2] - height > self.clear_m:
            return self._to(here.x_m, here.y_m, self.hover_m, JAW_OPEN_RAD)
        if self._arm.jaw_rad < self.let_go_rad:
            return self._stay(self._arm, self.letting_go_rad)
        if math.hypot(tcp.x_m - x, tcp.y_m - y) > 0.010:
            return self._to(x, y, max(here.z_m - s.table_m, height + self.centring_m), self.letting_go_rad)
        return self._to(here.x_m, here.y_m, self.hover_m, self.letting_go_rad)

    def _fetch(self, item: int) -> Move:
        s, tcp, command = self._s, self._arm.tcp, self._arm.commanded_tcp
        x, y, grasp = self._grasp.tcp_m(item)
        hover = self._hover_over_m(item)
        height, yaw = s.tcp_m[2], self._grasp.jaw_yaw_rad(item)
        lateral = math.hypot(tcp.x_m - x, tcp.y_m - y)
        opened = self._arm.commanded_jaw_rad > JAW_OPEN_RAD - 0.05
        at_grasp_height = -self.too_low_m < height - grasp < 0.014
        arrived = (
            lateral < FUNNEL_M
            and abs(self._grasp.seen_from_jaw_m(item)[1]) < CENTRED_M
            and height - grasp < 0.006
        )
        if at_grasp_height and self._grasp.surrounds(item) and (arrived or not opened):
            # From here on keep closing, without any turn of the wrist.
            return self._stay(self._arm, JAW_CLOSED_RAD)
        if self._about_to_misplace():
            return self._stay(self._arm, JAW_CLOSED_RAD)  # take it again before it counts as placed
        if not opened and self._arm.jaw_rad < 0.6 and height < hover - 0.02 and s.touched:
            return self._stay(self._arm, JAW_OPEN_RAD)  # let go of what it was
        progress = min(1.0, max(0.0, (hover - height) / (hover - grasp)))
        allowed = ALIGNED_M + progress * (FUNNEL_M - ALIGNED_M)
        turned = abs(tcp.jaw_yaw_rad - yaw) < 0.20
        if lateral < allowed and turned and self._arm.jaw_rad > JAW_OPEN_RAD - 0.15:
            near = height - grasp < 0.02
            lag_x, lag_y, lag_z = lag_m(self._arm, LAG_LIMIT_M if near else self.hovering_lag_m)
            return self._to(x + lag_x, y + lag_y, grasp + lag_z * near, JAW_OPEN_RAD, yaw)
        commanded_height = command.z_m - s.table_m
        drooping = commanded_height < hover - 0.004  # as a stretched arm does
        rising = height < hover - 0.045 or drooping
        if lateral > 0.012 and height < hover - 0.018 and rising:
            return self._to(command.x_m, command.y_m, hover, JAW_OPEN_RAD)
        lag_x, lag_y, _ = lag_m(self._arm, self.hovering_lag_m)
        return self._to(x + lag_x, y + lag_y, hover, JAW_OPEN_RAD, yaw)

    def _to(
        self, x_m: float, y_m: float, height_m: float, jaw_rad: float, jaw_yaw_rad: float | None = None
    ) -> Move:
        """A way-point in the arm's base frame, but for its height: that counts from the table top."""
        return Move((x_m, y_m, height_m + self._s.table_m), jaw_rad, jaw_yaw_rad)

    def _stay(self, arm: ArmState, jaw_rad: float) -> Move:
        """Where the arm has been told to be already, with another jaw."""
        x, y, z = arm.commanded_tcp_m
        return self._to(x, y, z - self._s.table_m, jaw_rad)

    # ------------------------------------------------------------------------------------------- assessing

    def assess(self) -> Assessment:
        lost = self._lost()
        hazard = "lost" if lost else self._hazard()
        return Assessment(hazard, self._safe() and not hazard, not lost, self._progress())

    def _lost(self) -> bool:
        """Nothing can be saved: what lies cannot be righted from above, what fell cannot be reached."""
        goal = self._s.goal_item
        return self._falls(goal) or self._s.out_of_reach(goal, settled=False)

    def _falls(self, item: int) -> bool:
        """Lies, or is about to, and no hand holds it."""
        s = self._s
        return s.held != item and bool(s.upright_cosine[item] < 0.5 or s.topples(item))

    def _hazard(self) -> str:
        s, goal = self._s, self._s.goal_item
        height, jaw, commanded = s.tcp_m[2], self._arm.jaw_rad, self._arm.commanded_jaw_rad
        opened, closing = commanded > JAW_OPEN_RAD - 0.15, commanded < JAW_OPEN_RAD - 0.30
        if s.held is not None and s.held != goal:
            return "wrong item"
        base = s.item_m[goal, 2]
        if s.held == goal:
            over = s.over_slot(goal)
            if over is not None and self._wrong_slot(over) and height < self.carry_m - 0.03:
                return "wrong slot"
            if self._low_carry():
                return "low carry"
            if commanded > 0.30 and base > 0.012:
                return "bad release"
            return ""
        if base > 0.015:
            return "drop"
        if s.slot_of(goal) == s.goal_slot:
            return ""
        if closing and s.held is None and jaw < EMPTY_JAW_RAD:
            return "empty jaw"
        x, y, _ = self._grasp.tcp_m(goal)
        lateral = math.hypot(self._arm.tcp.x_m - x, self._arm.tcp.y_m - y)
        if opened and height < self.descending_m and lateral > 0.020:
            return "misaligned descent"
        if closing and height - base - self._grasp.height_m(goal) > 0.025 and jaw < 0.4:
            return "early close"
        return ""

    def _wrong_slot(self, slot: int) -> bool:
        """Putting the goal item down there would be a failure."""
        return slot != self._s.goal_slot

    def _low_carry(self) -> bool:
        """What is carried is about to run into something."""
        raise NotImplementedError

    def _safe(self) -> bool:
        """Lifted with the right item, hovering well aligned, or done."""
        s, goal = self._s, self._s.goal_item
        if s.held == goal:
            return bool(s.tcp_m[2] > self.carry_m - 0.018)
        return s.slot_of(goal) == s.goal_slot

    def _progress(self) -> float:
        s, goal, tcp = self._s, self._s.goal_item, self._arm.tcp
        x, y, base = s.item_m[goal]
        slot = s.slot_m(s.goal_slot)
        to_slot = math.hypot(x - slot[0], y - slot[1])
        if s.slot_of(goal) == s.goal_slot:
            return 1.0 if s.released(goal) else 0.9
        if s.held == goal:
            lowered = 0.1 * (1 - min(1.0, base / 0.08)) if to_slot < 0.03 else 0.0
            return 0.4 + 0.35 * max(0.0, 1 - to_slot / 0.25) + 0.05 * min(1.0, base / 0.06) + lowered
        reach = math.dist((tcp.x_m, tcp.y_m, s.tcp_m[2]), self._grasp.tcp_m(goal))
        return 0.35 * max(0.0, 1 - reach / 0.30)

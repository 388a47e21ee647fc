"""The scripted expert of ``restock/flat-shelf``: demonstrator and intervening human.

It remembers nothing. Each call looks at the state, decides which move is due (fetch, carry, put back, let
go) and takes one step of it: the *commanded* TCP moves towards a way-point. Commanding from the measured
pose would never overcome servo friction, and an integrator would be a memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Assessment
from sop_envs import kinematics as kin
from sop_envs.so101 import (
    FIXED_FACE_M,
    JAW_CLOSED_RAD,
    JAW_OPEN_RAD,
    JAW_PARALLEL_RAD,
    JOINTS,
    MAX_STEP_RAD,
    jaw_face_m,
)
from sop_envs.tasks.flat_shelf_scene import BIN_X_M, BIN_Y_M, SPACING_M

if TYPE_CHECKING:
    from sop_envs.tasks.flat_shelf import FlatShelfSituation

STEP_RANGE_M, STEP_SHARE = (0.012, 0.030), 0.4  # of the commanded TCP, per control step: slower near the goal
MAX_LEAD_M = 0.06  # of the commanded before the measured TCP, when taking over from a wild policy
HOVER_M = 0.088  # fingertips clear the tallest product
CARRY_M = 0.098  # what is carried clears it too
GRASP_SHARE, GRASP_RANGE_M = 0.45, (0.019, 0.025)  # grasp height: just above the centre of mass
ALIGNED_M, FUNNEL_M = 0.008, 0.016  # lateral error allowed at the start and at the end of a descent
PLACED_M = 0.008
TOUCHDOWN_M = 0.004
CENTRED_M, SLIPS_M = 0.007, 0.012  # across the pads: start to close; a round product slips out beyond

FINGERS_M, FINGER_ROOM_M = (-0.046, 0.050), 0.021  # open fingers from the TCP; room to a product's middle
ROUND_TURNS_RAD = (0.0, 0.4, -0.4, 0.8, -0.8)  # tried in this order on what can be gripped at any yaw
LAG_SHARE, LAG_LIMIT_M = 0.8, 0.012  # of droop and friction, made up for when nearly there
ESCAPE_STEP_RAD = 0.15
_EMPTY_JAW_RAD = JAW_PARALLEL_RAD - 0.10  # closed further than around any product: they are 29-36 mm wide
_RAISED_RAD = kin.steepest(0.21, 0.0, HOVER_M + 0.02) or (0.0, 0.0, 0.0, 0.0)
_RIGHT = slice(len(JOINTS), 2 * len(JOINTS))


@dataclass(frozen=True)
class _Move:
    """A way-point of the TCP (height above the table), a jaw target, and a yaw for the jaw, if any."""

    x_m: float
    y_m: float
    height_m: float
    jaw_rad: float
    jaw_yaw_rad: float | None = None


class FlatShelfExpert:
    """Implements `Expert` on the privileged measurements of a situation."""

    def __init__(self, situation: FlatShelfSituation) -> None:
        self._s = situation

    # ---------------------------------------------------------------------------------------------- acting

    def act(self) -> NDArray[np.float32]:
        s = self._s
        action = s.data.ctrl.astype(np.float32)
        action[_RIGHT] = self._joints_towards(self._due())
        return action

    def _joints_towards(self, move: _Move) -> list[float]:
        s, command = self._s, self._s.commanded_tcp
        at = list(command.xyz_m)
        lead = [a - b for a, b in zip(at, s.tcp.xyz_m, strict=True)]
        ahead = math.hypot(*lead)
        if ahead > MAX_LEAD_M:
            at = [a - part * (1 - MAX_LEAD_M / ahead) for a, part in zip(at, lead, strict=True)]
        to = (move.x_m, move.y_m, move.height_m + s.table_m)
        way = [b - a for a, b in zip(at, to, strict=True)]
        distance = math.hypot(*way)
        stride = min(STEP_RANGE_M[1], max(STEP_RANGE_M[0], STEP_SHARE * distance))
        share = min(1.0, stride / distance) if distance > 1e-9 else 1.0
        x, y, z = (a + share * part for a, part in zip(at, way, strict=True))
        arm = kin.steepest(x, y, z) or self._back_within_reach()
        pan, roll = arm[0], s.commanded_arm_rad[4]
        if move.jaw_yaw_rad is not None:
            wanted = pan + math.pi / 2 - move.jaw_yaw_rad
            roll += float(np.clip(wanted - roll, -MAX_STEP_RAD[4], MAX_STEP_RAD[4]))
        return [*arm, roll, move.jaw_rad]

    def _back_within_reach(self) -> tuple[float, ...]:
        """Out of a pose that a straight TCP path cannot leave: joint by joint towards a raised one."""
        now = self._s.commanded_arm_rad[:4]
        return tuple(
            q + float(np.clip(target - q, -ESCAPE_STEP_RAD, ESCAPE_STEP_RAD))
            for q, target in zip(now, (float(np.clip(now[0], -0.8, 0.8)), *_RAISED_RAD[1:]), strict=True)
        )

    # -------------------------------------------------------------------------------------------- deciding

    def _due(self) -> _Move:
        s, goal = self._s, self._s.goal_item
        if s.held == goal:
            return self._carry(goal, s.slot_m(s.goal_slot))
        if s.held is not None:
            return self._carry(s.held, self._free_place(s.held))
        if s.slot_of(goal) == s.goal_slot:
            return self._let_go(goal)
        return self._fetch(goal)

    def _carry(self, item: int, place: NDArray[np.float64]) -> _Move:
        """Lift, travel above everything, lower, open; the item hangs off the TCP by a measured offset."""
        s = self._s
        x, y, height = s.item_m[item]
        to_x, to_y = place[0] + s.tcp.x_m - x, place[1] + s.tcp.y_m - y
        tcp_height = s.tcp_m[2]
        hanging = tcp_height - height  # of the TCP above the base of the item
        away = math.hypot(place[0] - x, place[1] - y)
        if away > 2 * PLACED_M:
            ready = tcp_height > CARRY_M - 0.020
            here = s.commanded_tcp
            if not ready:
                return _Move(here.x_m, here.y_m, CARRY_M + 0.01, JAW_CLOSED_RAD)
            return _Move(to_x, to_y, CARRY_M, JAW_CLOSED_RAD)
        pressing = tcp_height - (s.commanded_tcp.z_m - s.table_m) > 0.008
        if height > TOUCHDOWN_M and not (pressing and height < 3 * TOUCHDOWN_M):
            descent = CARRY_M if away > PLACED_M and height > 0.02 else hanging - 0.004
            return _Move(to_x, to_y, descent, JAW_CLOSED_RAD)
        return self._stay(JAW_OPEN_RAD)

    def _let_go(self, item: int) -> _Move:
        """Open, centre the jaw on the item so that no finger drags it along, then lift."""
        s = self._s
        x, y, height = s.item_m[item]
        if s.tcp_m[2] - height > 0.05:
            return _Move(s.commanded_tcp.x_m, s.commanded_tcp.y_m, HOVER_M, JAW_OPEN_RAD)
        if s.jaw_rad < 0.6:
            return self._stay(JAW_OPEN_RAD)
        if math.hypot(s.tcp.x_m - x, s.tcp.y_m - y) > 0.010:
            return _Move(x, y, s.commanded_tcp.z_m - s.table_m, JAW_OPEN_RAD)
        return _Move(s.commanded_tcp.x_m, s.commanded_tcp.y_m, HOVER_M, JAW_OPEN_RAD)

    def _fetch(self, item: int) -> _Move:
        s = self._s
        x, y, base = s.item_m[item]
        grasp = base + self._grasp_height(item)
        height, yaw = s.tcp_m[2], self._jaw_yaw(item)
        lateral = math.hypot(s.tcp.x_m - x, s.tcp.y_m - y)
        opened = s.commanded_jaw_rad > JAW_OPEN_RAD - 0.05
        at_grasp_height = abs(height - grasp) < 0.014
        arrived = lateral < FUNNEL_M and abs(self._in_jaw(item)[1]) < CENTRED_M and height - grasp < 0.006
        if at_grasp_height and self._between_pads(item) and (arrived or not opened):
            return self._stay(JAW_CLOSED_RAD)  # from here on keep closing, without any turn of the wrist
        if any(self._about_to_misplace(other) for other in s.touched):
            return self._stay(JAW_CLOSED_RAD)  # take it again before it counts as placed
        if not opened and s.jaw_rad < 0.6 and height < HOVER_M - 0.02 and s.touched:
            return self._stay(JAW_OPEN_RAD)  # let go of what it was
        progress = min(1.0, max(0.0, (HOVER_M - height) / (HOVER_M - grasp)))
        allowed = ALIGNED_M + progress * (FUNNEL_M - ALIGNED_M)
        turned = abs(s.tcp.jaw_yaw_rad - yaw) < 0.20
        if lateral < allowed and turned and s.jaw_rad > JAW_OPEN_RAD - 0.15:
            near = height - grasp < 0.02
            lag = [
                float(np.clip(LAG_SHARE * (c - m), -LAG_LIMIT_M, LAG_LIMIT_M)) if near else 0.0
                for c, m in zip(s.commanded_tcp.xyz_m, s.tcp.xyz_m, strict=True)
            ]
            return _Move(x + lag[0], y + lag[1], grasp + lag[2], JAW_OPEN_RAD, yaw)
        commanded_height = s.commanded_tcp.z_m - s.table_m
        rising = height < HOVER_M - 0.045 or commanded_height < HOVER_M - 0.004  # a stretched arm droops
        if lateral > 0.012 and height < HOVER_M - 0.018 and rising:
            return _Move(s.commanded_tcp.x_m, s.commanded_tcp.y_m, HOVER_M, JAW_OPEN_RAD)
        return _Move(x, y, HOVER_M, JAW_OPEN_RAD, yaw)

    def _stay(self, jaw_rad: float) -> _Move:
        command = self._s.commanded_tcp
        return _Move(command.x_m, command.y_m, command.z_m - self._s.table_m, jaw_rad)

    # ----------------------------------------------------------------------------------------- measuring

    def _about_to_misplace(self, item: int) -> bool:
        """A wrong product is just being let go in a slot."""
        s = self._s
        return item != s.goal_item and s.over_slot(item) is not None and self._between_pads(item)

    def _grasp_height(self, item: int) -> float:
        return float(np.clip(GRASP_SHARE * self._s.layout.products[item].height_m, *GRASP_RANGE_M))

    def _jaw_yaw(self, item: int) -> float:
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

    def _in_jaw(self, item: int) -> tuple[float, float]:
        """Middle of the item from the TCP: along the direction of opening, and across it."""
        s = self._s
        dx, dy = s.item_m[item, 0] - s.tcp.x_m, s.item_m[item, 1] - s.tcp.y_m
        cosine, sine = math.cos(s.tcp.jaw_yaw_rad), math.sin(s.tcp.jaw_yaw_rad)
        return dx * cosine + dy * sine, dy * cosine - dx * sine

    def _between_pads(self, item: int) -> bool:
        """Alone between the pads, as far as the jaw is open now, and not so far out that it slips away."""
        low, high = FIXED_FACE_M + 0.002, jaw_face_m(self._s.jaw_rad) - 0.008
        inside: list[int] = []
        for other in range(self._s.count):
            along, across = self._in_jaw(other)
            room = SLIPS_M if other == item else 2 * SLIPS_M
            if low < along < high and abs(across) < room:
                inside.append(other)
        return inside == [item]

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

    # ------------------------------------------------------------------------------------------- assessing

    def assess(self) -> Assessment:
        s, goal = self._s, self._s.goal_item
        toppled = s.upright_cosine[goal] < 0.5 and s.held != goal
        lost = bool(toppled) or s.out_of_reach(goal)
        hazard = "lost" if lost else self._hazard()
        return Assessment(hazard, self._safe() and not hazard, not lost, self._progress())

    def _hazard(self) -> str:
        s, goal = self._s, self._s.goal_item
        height = s.tcp_m[2]
        opened, closing = s.commanded_jaw_rad > JAW_OPEN_RAD - 0.15, s.commanded_jaw_rad < JAW_OPEN_RAD - 0.30
        if s.held is not None and s.held != goal:
            return "wrong item"
        x, y, base = s.item_m[goal]
        lateral = math.hypot(s.tcp.x_m - x, s.tcp.y_m - y)
        slot = s.slot_m(s.goal_slot)
        to_slot = math.hypot(x - slot[0], y - slot[1])
        if s.held == goal:
            over = s.over_slot(goal)
            if over is not None and over != s.goal_slot and height < CARRY_M - 0.03:
                return "wrong slot"
            if x > (0.5 * (slot[0] + 0.238)) and base < 0.035 and to_slot > 0.035:
                return "low carry"
            if s.commanded_jaw_rad > 0.30 and base > 0.012:
                return "bad release"
            return ""
        if base > 0.015:
            return "drop"
        if s.slot_of(goal) == s.goal_slot:
            return ""
        if closing and s.held is None and s.jaw_rad < _EMPTY_JAW_RAD:
            return "empty jaw"
        if opened and height < 0.050 and lateral > 0.020:
            return "misaligned descent"
        if closing and height - base - self._grasp_height(goal) > 0.025 and s.jaw_rad < 0.4:
            return "early close"
        return ""

    def _safe(self) -> bool:
        """Lifted with the right item, hovering well aligned, or done."""
        s, goal = self._s, self._s.goal_item
        if s.held == goal:
            return bool(s.tcp_m[2] > 0.080)
        return s.slot_of(goal) == s.goal_slot

    def _progress(self) -> float:
        s, goal = self._s, self._s.goal_item
        x, y, base = s.item_m[goal]
        slot = s.slot_m(s.goal_slot)
        to_slot = math.hypot(x - slot[0], y - slot[1])
        if s.slot_of(goal) == s.goal_slot:
            return 1.0 if s.released(goal) else 0.9
        if s.held == goal:
            lowered = 0.1 * (1 - min(1.0, base / 0.08)) if to_slot < 0.03 else 0.0
            return 0.4 + 0.35 * max(0.0, 1 - to_slot / 0.25) + 0.05 * min(1.0, base / 0.06) + lowered
        reach = math.dist((s.tcp.x_m, s.tcp.y_m, s.tcp_m[2]), (x, y, base + self._grasp_height(goal)))
        return 0.35 * max(0.0, 1 - reach / 0.30)

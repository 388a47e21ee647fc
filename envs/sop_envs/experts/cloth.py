"""The scripted expert of the cloth tasks: demonstrator and intervening human.

It remembers nothing. Each call looks at where the tabs are and who holds them, and decides for each hand what
is due: fetch its far tab, wait for the other hand, carry, let go. Both hands keep in step because each looks
at the other's tab. A crumpled cloth is first shaken out by both; if arms would cross, or a far tab is out of
reach, single tabs are first brought back to where they lay.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Assessment
from sop_envs.cloth import TAB_RADIUS_M
from sop_envs.experts.arm import FOLDING, Move, lag_m, stay, unclench
from sop_envs.experts.bead import LOWEST_TCP_M, grasp, within_wrist
from sop_envs.experts.fingers import flat_if_bent_back, opening, pressing
from sop_envs.experts.hanging import hang_or_lay
from sop_envs.experts.lying import leading, must_be_spread, to_be_shaken_out
from sop_envs.hand import Hand
from sop_envs.so101 import FIXED_FACE_M, JAW_CLOSED_RAD, jaw_face_m
from sop_envs.tasks.cloth_scene import HOME_TCP_M, HOME_YAW_RAD, READY_JAW_RAD

if TYPE_CHECKING:
    from sop_envs.tasks.cloth_fold import FoldSituation

CARRY_STRIDE_M, NEAR_STRIDE_M = 0.014, 0.005  # per control step; the latter in the last centimetre
HOVER_M = 0.048  # of the TCP above where it grasps
ALIGNED_M, FUNNEL_M, SLIPS_M = 0.007, 0.008, 0.007  # lateral errors; across the pads
TURNED_RAD, ASKEW_RAD = 0.20, 0.4

ARCH_M, LOW_ARCH_M, CLEAR_M = 0.050, 0.012, 0.028  # height of a carried tab: top, ends, least under way
SPREAD_M = 0.035
NEAR_BY_M, ALREADY_THERE_M = 0.06, 0.03  # of a hand from its tab: it is waited for; of a held tab's way left
WAIT_M = 0.030
TOUCHDOWN_M, PRESS_M = 0.013, 0.007  # height at which a tab lies; height to which it is pushed
ARRIVED_M, DRIFTED_M = 0.006, 0.009
PULLS_M = 0.012  # a hand with more way left would pull away what the other has let go
IN_STEP_M = 0.008  # the hand that is this much ahead waits
ASIDE_M = 0.018  # a tab further than this from where it lay is brought back


class FoldExpert:
    """Implements `Expert` on the privileged measurements of a situation.

    Args:
        carry_stride_m: Longest step of a hand that holds a tab, per control step of 0.1 s.
    """

    def __init__(self, situation: FoldSituation, carry_stride_m: float = CARRY_STRIDE_M) -> None:
        self._s, self._stride_m = situation, carry_stride_m

    # --------------------------------------------------------------------------------------------- acting

    def act(self) -> NDArray[np.float32]:
        due = self._spread if must_be_spread(self._s) else self._due
        joints: list[float] = []
        for side, hand in enumerate(self._s.hands):
            joints += flat_if_bent_back(hand, FOLDING.towards(hand, due(side)))
        return np.array(joints, np.float32)

    def _due(self, side: int) -> Move:
        s, far = self._s, 2 + side
        if s.held[side] == far:
            return self._carry(side)
        if s.held[side] is not None or self._placed(side):
            return self._leave(side)
        return self._fetch(side, far)

    def _carry(self, side: int) -> Move:
        """In an arch to the near corner, lay down, open."""
        s, hand, far = self._s, self._s.hands[side], 2 + side
        position, goal, left = s.tab_m[far], s.tab_goal_m(side), self._s.way_left_m(side)
        down = hand.tcp_m[2] < LOWEST_TCP_M - 0.001 or pressing(hand)
        if left < DRIFTED_M and (position[2] < TOUCHDOWN_M or (down and position[2] < CLEAR_M)):
            pulls = s.held[1 - side] == 3 - side and s.way_left_m(1 - side) > PULLS_M
            return stay(hand, JAW_CLOSED_RAD) if pulls else unclench(hand, READY_JAW_RAD)
        if hand.commanded_jaw_rad > JAW_CLOSED_RAD + 0.05:
            return stay(hand, JAW_CLOSED_RAD)
        stride = min(self._stride_m, max(NEAR_STRIDE_M, 0.3 * left))
        if left < ARRIVED_M or (left < DRIFTED_M and position[2] < 0.020):
            wanted = np.array([*goal[:2], PRESS_M])
        else:
            other_holds = s.held[1 - side] == 3 - side
            if not other_holds and not self._placed(1 - side):
                return self._wait(hand, position)
            if other_holds and left < self._s.way_left_m(1 - side) - IN_STEP_M:
                return stay(hand, JAW_CLOSED_RAD)
            wanted = self._on_arch(position, goal, left, stride)
        turn = s.seam_turn_rad(side)  # a hand that need not turn holds best
        yaw = within_wrist(hand, hand.tcp_m, hand.jaw_yaw_rad - turn)
        if position[2] < 0.020 or abs(turn) < ASKEW_RAD:
            yaw = None
        return Move(wanted + hand.tcp_m - position + lag_m(hand), JAW_CLOSED_RAD, yaw, stride)

    def _on_arch(
        self, position_m: NDArray[np.float64], goal_m: NDArray[np.float64], left_m: float, stride_m: float
    ) -> NDArray[np.float64]:
        ahead = min(1.0, 2 * stride_m / left_m)
        progress = 1 - (left_m - min(left_m, stride_m)) / self._s.span_m
        arch = LOW_ARCH_M + ARCH_M * math.sin(math.pi * min(1.0, max(0.0, progress)))
        wanted = position_m + ahead * (goal_m - position_m) * (position_m[2] > 0.020)  # first up
        wanted[2] = max(CLEAR_M, arch)
        return wanted

    def _wait(self, hand: Hand, position_m: NDArray[np.float64]) -> Move:
        """Hold a tab up until the other hand has its own."""
        if position_m[2] > WAIT_M - 0.006:
            return stay(hand, JAW_CLOSED_RAD)
        return Move(hand.commanded_tcp_m + np.array([0.0, 0.0, 0.01]), JAW_CLOSED_RAD, None, self._stride_m)

    def _leave(self, side: int) -> Move:
        """Open, straight up, home."""
        s, hand = self._s, self._s.hands[side]
        gap = float(np.linalg.norm(s.tab_m - hand.grip_m(2 * TAB_RADIUS_M), axis=1).min())
        if hand.tcp_m[2] < 0.05 and gap < 0.04 and opening(hand) and hand.jaw_rad < READY_JAW_RAD - 0.15:
            return unclench(hand, READY_JAW_RAD)
        if hand.tcp_m[2] < 0.06:
            return _up(hand)
        return Move(np.array(HOME_TCP_M[hand.side]), READY_JAW_RAD, HOME_YAW_RAD)

    def _fetch(self, side: int, tab: int) -> Move:
        """Over the tab, down around it, close."""
        s, hand = self._s, self._s.hands[side]
        if s.touched[side] - {tab} and hand.commanded_jaw_rad < JAW_CLOSED_RAD + 0.05:
            return unclench(hand, READY_JAW_RAD)  # another tab is between the fingers, too
        aim, yaw = grasp(s, tab)
        depth, along, across = hand.seen_from(s.tab_m[tab])
        between = FIXED_FACE_M + 0.002 < along < jaw_face_m(hand.jaw_rad) - 0.002 and abs(across) < SLIPS_M
        lateral, height = float(np.linalg.norm((hand.tcp_m - aim)[:2])), float(hand.tcp_m[2] - aim[2])
        closing = hand.commanded_jaw_rad < READY_JAW_RAD - 0.05
        low = height < (0.010 if pressing(hand) else 0.005)
        if abs(depth) < 0.010 and between and (closing or (lateral < FUNNEL_M and low)):
            x, y, _ = hand.commanded_tcp_m
            lower = float(aim[2] + lag_m(hand)[2])  # arms swing: this may have been the low point of a swing
            return Move((x, y, lower), JAW_CLOSED_RAD)
        turned = abs(math.remainder(hand.jaw_yaw_rad - yaw, 2 * math.pi)) < TURNED_RAD
        ready = hand.jaw_rad > READY_JAW_RAD - 0.10
        if lateral < (ALIGNED_M if height > 0.02 else FUNNEL_M + 0.004) and turned and ready:
            return Move(aim + lag_m(hand), READY_JAW_RAD, yaw)
        if not ready and height < 0.035 and opening(hand):
            return unclench(hand, READY_JAW_RAD)
        if (lateral > 0.012 or not ready) and height < HOVER_M - 0.013:
            return _up(hand)
        over = aim + lag_m(hand) * (lateral < 0.03)
        over[2] += HOVER_M
        return Move(over, READY_JAW_RAD, yaw)

    # ------------------------------------------------------------------------------------------ spreading

    def _spread(self, side: int) -> Move:
        s, held = self._s, self._s.held[side]
        if to_be_shaken_out(s):
            return self._shake_out(side)
        for tab in leading(s, side):
            aside = float(np.linalg.norm(s.start_m[tab] - s.tab_m[tab, :2]))
            lies = s.tab_m[tab, 2] < TOUCHDOWN_M or s.hands[side].tcp_m[2] < LOWEST_TCP_M - 0.001
            if held == tab and not (aside < DRIFTED_M and lies):
                return self._bring(side, tab, s.start_m[tab])
            if held is None and aside > ASIDE_M and s.within_reach(tab):
                return self._fetch(side, tab)
        return self._leave(side)

    def _shake_out(self, side: int) -> Move:
        """Fetch both far tabs at once, hang the cloth and lay it down; who has his waits for the other."""
        s, hand, far = self._s, self._s.hands[side], 2 + side
        if s.held[side] != far:
            return self._fetch(side, far) if s.held[side] is None else self._leave(side)
        if hand.commanded_jaw_rad > JAW_CLOSED_RAD + 0.05:
            return stay(hand, JAW_CLOSED_RAD)
        if s.held[1 - side] != 3 - side:
            apart = s.hands[1 - side].tcp_m[:2] - s.tab_m[3 - side, :2]
            if s.way_left_m(side) < ALREADY_THERE_M:
                return stay(hand, JAW_CLOSED_RAD)
            if float(np.linalg.norm(apart)) < NEAR_BY_M:
                return self._wait(hand, s.tab_m[far])
            return self._bring(side, far, s.start_m[far], hold=True)
        way = hang_or_lay(s, side)
        return Move(way.tab_m + hand.tcp_m - s.tab_m[far] + lag_m(hand), JAW_CLOSED_RAD, None, way.stride_m)

    def _bring(self, side: int, tab: int, place_m: NDArray[np.float64], hold: bool = False) -> Move:
        """Pull a held tab to where it lay, and lay it down."""
        hand, position = self._s.hands[side], self._s.tab_m[tab]
        if hand.commanded_jaw_rad > JAW_CLOSED_RAD + 0.05:
            return stay(hand, JAW_CLOSED_RAD)
        way = place_m - position[:2]
        left = float(np.linalg.norm(way))
        stride = min(self._stride_m, max(NEAR_STRIDE_M, 0.3 * left))
        wanted = position.copy()
        if left < ARRIVED_M or (left < DRIFTED_M and position[2] < 0.020):
            wanted = np.array([*place_m, SPREAD_M if hold else PRESS_M])
        else:
            wanted[:2] += way * min(1.0, 2 * stride / left) * (position[2] > 0.020)
            wanted[2] = SPREAD_M
        return Move(wanted + hand.tcp_m - position + lag_m(hand), JAW_CLOSED_RAD, None, stride)

    # ------------------------------------------------------------------------------------------ measuring

    def _placed(self, side: int) -> bool:
        s = self._s
        return bool(s.corner_errors_m[side] < s.placed_m and s.corners_m[2 + side, 2] < s.placed_low_m)

    # ------------------------------------------------------------------------------------------- assessing

    def assess(self) -> Assessment:
        lost = self._s.lost(2) or self._s.lost(3)
        hazard = "lost" if lost else self._hazard()
        return Assessment(hazard, self._safe() and not hazard, not lost, self._progress())

    def _hazard(self) -> str:
        s = self._s
        if must_be_spread(s):
            return "crumpled"
        holds = [s.held[side] == 2 + side for side in (0, 1)]
        done = [self._placed(side) for side in (0, 1)]
        for side, hand in enumerate(s.hands):
            tab_height = float(s.tab_m[2 + side, 2])
            if holds[side]:
                alone = not holds[1 - side] and not done[1 - side]
                if alone and self._s.way_left_m(side) < 0.75 * s.span_m:
                    return "one-handed fold"
                if hand.commanded_jaw_rad > 0.05 and tab_height > 0.030:
                    return "bad release"
            elif s.held[side] is not None:
                return "wrong corner"
            elif not done[side]:
                if tab_height > 0.035:
                    return "drop"
                if self._s.way_left_m(side) < 0.75 * s.span_m:
                    return "short fold"
                aim, _ = grasp(s, 2 + side)
                lateral = float(np.linalg.norm((hand.tcp_m - aim)[:2]))
                if hand.commanded_jaw_rad > 0.2 and hand.tcp_m[2] < 0.030 and lateral > 0.025:
                    return "misaligned descent"
                if hand.commanded_jaw_rad < 0.1 and hand.tcp_m[2] > 0.040:
                    return "early close"
        return ""

    def _safe(self) -> bool:
        """Each far tab is held up or laid down."""
        s = self._s
        raised = [s.held[side] == 2 + side and s.tab_m[2 + side, 2] > 0.024 for side in (0, 1)]
        return all(up or self._placed(side) for side, up in enumerate(raised))

    def _progress(self) -> float:
        s, total = self._s, 0.0
        for side, hand in enumerate(s.hands):
            covered = max(0.0, 1 - self._s.way_left_m(side) / s.span_m)
            if s.held[side] == 2 + side:
                total += 0.2 + 0.5 * covered
            elif self._placed(side):
                total += 0.8 + 0.2 * min(1.0, float(hand.tcp_m[2]) / 0.07)
            else:
                reach = float(np.linalg.norm(hand.tcp_m - grasp(s, 2 + side)[0]))
                total += 0.15 * max(0.0, 1 - reach / 0.30)
        return total / 2


def _up(hand: Hand) -> Move:
    return Move(hand.commanded_tcp_m + np.array([0.0, 0.0, 0.06]), READY_JAW_RAD)

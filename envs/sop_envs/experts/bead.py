"""How a hand grips a bead, the pull tab of a cloth: from which side, so that no finger lands on the cloth.

A bead turns with the hand that grips it, and its seam with it. So the side decides where its corner will be.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sop_envs.hand import Hand
from sop_envs.kinematics import ARM_LOWER_RAD, ARM_UPPER_RAD, PAN_AXIS_X_M, steepest
from sop_envs.so101 import FIXED_FACE_M

if TYPE_CHECKING:
    from sop_envs.tasks.cloth_fold import FoldSituation

AIM_M = 0.020  # the open jaw comes down with the tab this far from the TCP, towards the fixed finger
GRASP_M, LOWEST_TCP_M = 0.003, 0.0105  # TCP above the middle of the tab; fingertips clear the table
WRIST_MARGIN_RAD = 0.04
FIXED_FINGER_M, OPEN_JAW_M, CLOSING_JAW_M = -0.022, 0.042, 0.026  # from the tab, in the direction of opening
CLEAR_OF_CLOTH_M, CLEAR_OF_TABS_M = 0.016, 0.020  # of the middle of a finger
TURNS_RAD = (0.0, -0.4, 0.4, -0.8, 0.8)  # from across the seam, the best first
TURN_COST_M, FLIP_COST_M = 0.003, 0.005  # in clearance: per rad, and for the wrong side
OVER_M, OUT_OF_REACH_M, TOLERABLE_M = 0.048, 0.030, 0.001
TILT_COST = 2.0
SAMPLES = 3  # of the cloth, per edge of its mesh


def grasp(situation: FoldSituation, tab: int) -> tuple[NDArray[np.float64], float]:
    """TCP (3,) and yaw of an open jaw around a tab: about across its seam, where fingers have most room."""
    s, hand = situation, situation.hands[tab % 2]
    seam = s.seam_m[tab, :2] if np.linalg.norm(s.seam_m[tab, :2]) > 0.004 else s.across
    best = math.atan2(seam[1], seam[0]) + (math.pi / 2, -math.pi / 2)[tab % 2]
    cloth = _samples_m(s.vertices_m)
    tabs = np.delete(s.tab_m[:, :2], tab, axis=0)
    yaw, least = within_wrist(hand, s.tab_m[tab], best), math.inf
    for flip in (0.0, math.pi):
        for turn in TURNS_RAD:
            wanted = best + flip + turn
            possible = within_wrist(hand, s.tab_m[tab], wanted)
            if abs(math.remainder(possible - wanted, 2 * math.pi)) > 0.3:
                continue
            cost = TURN_COST_M * abs(turn) + FLIP_COST_M * (flip > 0)
            cost += _blocked_m(s.tab_m[tab, :2], possible, cloth, tabs)
            cost += _stretched_m(hand, s.tab_m[tab], possible)
            if cost < least - 1e-9:
                yaw, least = possible, cost
    return _aim_m(s.tab_m[tab], yaw), yaw


def _aim_m(tab_m: NDArray[np.float64], yaw_rad: float) -> NDArray[np.float64]:
    aim = tab_m + AIM_M * np.array([math.cos(yaw_rad), math.sin(yaw_rad), 0.0])
    aim[2] = max(LOWEST_TCP_M, tab_m[2] + GRASP_M)
    return aim


def _stretched_m(hand: Hand, tab_m: NDArray[np.float64], yaw_rad: float) -> float:
    """What the arm's pose costs there, in clearance.

    An arm stretched far out tilts its hand: the fixed finger gets under the TCP if the jaw opens outwards.
    """
    x, y, z = _aim_m(tab_m, yaw_rad) - hand.base_m
    joints, above = steepest(x, y, z), steepest(x, y, z + OVER_M)
    if joints is None or above is None:
        return OUT_OF_REACH_M
    tilt, outwards = math.pi / 2 - sum(joints[1:]), math.cos(yaw_rad - joints[0])
    return TILT_COST * max(0.0, -FIXED_FACE_M * math.sin(tilt) * outwards - TOLERABLE_M)


def _blocked_m(
    tab_m: NDArray[np.float64], yaw_rad: float, cloth_m: NDArray[np.float64], tabs_m: NDArray[np.float64]
) -> float:
    """How far fingers that come down around a tab miss the room they need, in all."""
    along = np.array([math.cos(yaw_rad), math.sin(yaw_rad)])
    blocked = 0.0
    for offset, lands in ((FIXED_FINGER_M, True), (OPEN_JAW_M, True), (CLOSING_JAW_M, False)):
        finger = tab_m + offset * along
        if lands:
            blocked += max(0.0, CLEAR_OF_CLOTH_M - float(np.linalg.norm(cloth_m - finger, axis=1).min()))
        blocked += max(0.0, CLEAR_OF_TABS_M - float(np.linalg.norm(tabs_m - finger, axis=1).min()))
    return blocked


def _samples_m(vertices_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points all over the cloth, in the plane (n, 2)."""
    points = vertices_m[..., :2]
    for _ in range(2):  # along the columns, then along the rows
        share = np.arange(SAMPLES)[:, None, None] / SAMPLES
        between = points[:-1, None] * (1 - share) + points[1:, None] * share
        points = np.concatenate([between.reshape(-1, *points.shape[1:]), points[-1:]]).swapaxes(0, 1)
    return points.reshape(-1, 2)


def within_wrist(hand: Hand, tcp_m: NDArray[np.float64], yaw_rad: float) -> float:
    """The yaw of the jaw, as the wrist counts it, that is nearest to `yaw_rad` for a TCP there."""
    x, y, _ = tcp_m - hand.base_m
    ahead = math.atan2(y, x - PAN_AXIS_X_M) + math.pi / 2
    low = ahead - ARM_UPPER_RAD[4] + WRIST_MARGIN_RAD
    high = ahead - ARM_LOWER_RAD[4] - WRIST_MARGIN_RAD
    beyond = (yaw_rad - low) % (2 * math.pi)
    if low + beyond <= high:
        return low + beyond
    return high if low + beyond - high < math.pi - (high - low) / 2 else low

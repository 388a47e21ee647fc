"""Moving one of two hands a step towards a way-point; stateless, as every expert is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sop_envs import kinematics as kin
from sop_envs.hand import Hand
from sop_envs.so101 import MAX_STEP_RAD

FREE_STRIDE_M = 0.030  # of the commanded TCP, per control step
STRIDE_SHARE, SHORTEST_STRIDE_M = 0.4, 0.005  # slower near the way-point
MAX_LEAD_M = 0.06  # of the commanded before the measured TCP, when taking over from a wild policy
LAG_SHARE, LAG_LIMIT_M = 0.8, 0.015  # of droop and friction, made up for
FREE_TCP_M = 0.011  # fingertips clear the table
LOWEST_COMMAND_M = 0.004
ROLL_MARGIN_RAD = 0.02
ESCAPE_STEP_RAD = 0.15
_RAISED_RAD = kin.steepest(0.21, 0.0, 0.11) or (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Move:
    """A way-point.

    Attributes:
        tcp_m: Of the tool centre point (world; height above the table), (3,).
        jaw_yaw_rad: Direction in which the jaw shall open; None leaves the wrist as it is turned.
        stride_m: Longest step of the commanded TCP.
    """

    tcp_m: NDArray[np.float64]
    jaw_rad: float
    jaw_yaw_rad: float | None = None
    stride_m: float = FREE_STRIDE_M


def stay(hand: Hand, jaw_rad: float) -> Move:
    """Only the jaw moves."""
    return Move(hand.commanded_tcp_m, jaw_rad)


def unclench(hand: Hand, jaw_rad: float) -> Move:
    """Open the jaw, off the table if fingers are pressed to it: friction would keep them shut."""
    x, y, z = hand.commanded_tcp_m
    return Move(np.array([x, y, max(z, FREE_TCP_M)]), jaw_rad)


def lag_m(hand: Hand) -> NDArray[np.float64]:
    """What to add to a way-point so that the measured TCP, not only the commanded one, gets there (3,)."""
    return np.clip(LAG_SHARE * (hand.commanded_tcp_m - hand.tcp_m), -LAG_LIMIT_M, LAG_LIMIT_M)


def joints_towards(hand: Hand, move: Move) -> list[float]:
    """Targets of the arm's six joints for the next control step, rad."""
    at = hand.commanded_tcp_m
    lead = at - hand.tcp_m
    ahead = float(np.linalg.norm(lead))
    if ahead > MAX_LEAD_M:
        at = at - lead * (1 - MAX_LEAD_M / ahead)
    way = move.tcp_m - at
    way[2] = max(way[2], LOWEST_COMMAND_M - at[2])  # a wild policy may have left the arm pressed to the table
    distance = float(np.linalg.norm(way))
    stride = min(move.stride_m, max(SHORTEST_STRIDE_M, STRIDE_SHARE * distance))
    x, y, z = at + way * (min(1.0, stride / distance) if distance > 1e-9 else 1.0) - hand.base_m
    arm = kin.steepest(x, y, z) or _back_within_reach(hand)
    roll = hand.commanded_arm_rad[4]
    if move.jaw_yaw_rad is not None:
        low, high = kin.ARM_LOWER_RAD[4] + ROLL_MARGIN_RAD, kin.ARM_UPPER_RAD[4] - ROLL_MARGIN_RAD
        wanted = min(max(arm[0] + math.pi / 2 - move.jaw_yaw_rad, low), high)
        roll += float(np.clip(wanted - roll, -MAX_STEP_RAD[4], MAX_STEP_RAD[4]))
    return [*arm, roll, move.jaw_rad]


def _back_within_reach(hand: Hand) -> tuple[float, ...]:
    """Out of a pose that a straight TCP path cannot leave: joint by joint towards a raised one."""
    now = hand.commanded_arm_rad[:4]
    wanted = (float(np.clip(now[0], -0.8, 0.8)), *_RAISED_RAD[1:])
    return tuple(
        q + float(np.clip(target - q, -ESCAPE_STEP_RAD, ESCAPE_STEP_RAD))
        for q, target in zip(now, wanted, strict=True)
    )

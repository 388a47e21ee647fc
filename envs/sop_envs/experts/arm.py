"""How an expert moves an arm: what it leads goes towards a way-point, one limited stride per call.

Most lead the TCP (`Driver`); who works with closed fingers leads their tip (`finger_towards`).
Everything is relative to the joint targets last commanded: commanding from the measured pose would never
overcome servo friction, and an integrator would be a memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sop_envs import kinematics as kin
from sop_envs.finger import Finger, Reach
from sop_envs.so101 import JAW_CLOSED_RAD, JOINTS, MAX_STEP_RAD

Vector = Sequence[float] | NDArray[np.float64]  # (3,)

FREE_STRIDE_M, STRIDE_SHARE = 0.030, 0.4  # of the commanded point, per control step: slower near the goal
MAX_LEAD_M = 0.06  # of the commanded before the measured point, when taking over from a wild policy
LAG_SHARE, LAG_LIMIT_M = 0.8, 0.015  # of droop and friction, made up for
FREE_TCP_M = 0.011  # fingertips clear the table
ESCAPE_STEP_RAD = 0.15
_RAISED_X_M = 0.21  # where the TCP of a raised hand is
_DRAWN_BACK_RAD = (-1.2, 0.6, 1.1)  # lift, elbow, wrist of an arm drawn back above everything


class Arm(Protocol):
    """An arm whose TCP is led: an `ArmState`, in its base frame, or a `Hand`, in one shared by both arms.

    Attributes:
        base_m: Of the arm in that frame: what to add to what `kinematics` says, (3,).
    """

    @property
    def base_m(self) -> Vector: ...
    @property
    def tcp_m(self) -> Vector: ...
    @property
    def commanded_tcp_m(self) -> Vector: ...
    @property
    def commanded_arm_rad(self) -> list[float]: ...


@dataclass(frozen=True)
class Move:
    """A way-point, and what the hand does there.

    Attributes:
        tcp_m: Of the tool centre point, (3,), in the frame of the arm's `tcp_m`.
        jaw_yaw_rad: Direction in which the jaw shall open; None leaves the wrist as it is turned.
        stride_m: Longest step of the commanded TCP.
    """

    tcp_m: Vector
    jaw_rad: float
    jaw_yaw_rad: float | None = None
    stride_m: float = FREE_STRIDE_M


def stay(arm: Arm, jaw_rad: float) -> Move:
    """Only the jaw moves."""
    return Move(arm.commanded_tcp_m, jaw_rad)


def unclench(arm: Arm, jaw_rad: float) -> Move:
    """Open the jaw, off the table if fingers are pressed to it: friction would keep them shut."""
    x, y, z = arm.commanded_tcp_m
    return Move((x, y, max(z, FREE_TCP_M)), jaw_rad)


def lag_m(arm: Arm, limit_m: float = LAG_LIMIT_M) -> NDArray[np.float64]:
    """What to add to a way-point so that the measured TCP, not only the commanded one, gets there (3,)."""
    return np.clip(LAG_SHARE * np.subtract(arm.commanded_tcp_m, arm.tcp_m), -limit_m, limit_m)


def _norm(*way_m: float) -> float:
    return float(np.linalg.norm(way_m))


@dataclass(frozen=True)
class Driver:
    """The manner in which the experts of a family lead a TCP, the gripper as steep as it can be.

    Attributes:
        shortest_m: Of a stride that does not reach the way-point.
        raised_m: Height to which an arm raises itself where no straight path leads on.
        lowest_m: Of what is commanded; a wild policy may have left the arm pressed to the table.
        roll_margin_rad: Kept free before the limits of the wrist; by default, the robot cuts what is beyond.
        length: Of a vector. `math.hypot` and `numpy.linalg.norm` round differently, and records are kept to
            the last bit.
    """

    shortest_m: float
    raised_m: float
    lowest_m: float = -math.inf
    roll_margin_rad: float = -math.inf
    length: Callable[..., float] = math.hypot

    def towards(self, arm: Arm, move: Move) -> list[float]:
        """Targets of the six joints for the next control step, rad: one stride nearer."""
        x, y, z = move.tcp_m
        at = _one_stride(
            arm.commanded_tcp_m,
            arm.tcp_m,
            (x, y, max(z, self.lowest_m)),
            (self.shortest_m, move.stride_m),
            self.length,
        )
        x, y, z = (a - b for a, b in zip(at, arm.base_m, strict=True))
        joints = kin.steepest(x, y, z) or self._back_within_reach(arm)
        roll = arm.commanded_arm_rad[4]
        if move.jaw_yaw_rad is not None:
            low, high = kin.ARM_LOWER_RAD[4], kin.ARM_UPPER_RAD[4]
            wanted = joints[0] + math.pi / 2 - move.jaw_yaw_rad
            wanted = min(max(wanted, low + self.roll_margin_rad), high - self.roll_margin_rad)
            (roll,) = _stepped([roll], [wanted], MAX_STEP_RAD[4:5])
        return [*joints, roll, move.jaw_rad]

    def _back_within_reach(self, arm: Arm) -> Sequence[float]:
        """Out of a pose that a straight TCP path cannot leave: joint by joint towards a raised one."""
        now, raised = arm.commanded_arm_rad[:4], kin.steepest(_RAISED_X_M, 0.0, self.raised_m)
        assert raised is not None  # it is well within reach
        return _stepped(now, [min(max(now[0], -0.8), 0.8), *raised[1:]], [ESCAPE_STEP_RAD] * 4)


RESTOCKING = Driver(shortest_m=0.012, raised_m=0.108)
FOLDING = Driver(shortest_m=0.010, raised_m=0.11, lowest_m=0.004, roll_margin_rad=0.02, length=_norm)


def finger_towards(finger: Finger, reach: Reach, stride_m: float) -> list[float]:
    """Targets of the six joints, one step of at most `stride_m` nearer, jaw closed."""
    at = _one_stride(finger.commanded_tip_m, finger.tip_m, reach.tip_m, (stride_m, stride_m))
    solved = finger.solve(Reach(at, reach.pitch_rad, reach.opening_yaw_rad))
    now = finger.commanded_rad
    if solved is not None:
        return _stepped(now, [*solved, JAW_CLOSED_RAD], MAX_STEP_RAD)
    pan, roll = now[0], now[4]  # joint by joint towards a raised pose: a straight path cannot leave this one
    raised = [min(max(pan, -0.9), 0.9), *_DRAWN_BACK_RAD, min(max(roll, -2.0), 2.0), JAW_CLOSED_RAD]
    return _stepped(now, raised, [ESCAPE_STEP_RAD] * len(JOINTS))


def _one_stride(
    commanded_m: Vector,
    measured_m: Vector,
    goal_m: Vector,
    range_m: tuple[float, float],
    length: Callable[..., float] = math.hypot,
) -> tuple[float, float, float]:
    """The next commanded point: no further before the measured one than allowed, and a stride nearer."""
    at = [float(a) for a in commanded_m]
    lead = [a - b for a, b in zip(at, measured_m, strict=True)]
    ahead = length(*lead)
    if ahead > MAX_LEAD_M:
        at = [a - part * (1 - MAX_LEAD_M / ahead) for a, part in zip(at, lead, strict=True)]
    way = [b - a for a, b in zip(at, goal_m, strict=True)]
    distance = length(*way)
    stride = min(range_m[1], max(range_m[0], STRIDE_SHARE * distance))
    share = min(1.0, stride / distance) if distance > 1e-9 else 1.0
    x, y, z = (a + share * part for a, part in zip(at, way, strict=True))
    return x, y, z


def _stepped(at_rad: Sequence[float], to_rad: Iterable[float], limits_rad: Iterable[float]) -> list[float]:
    """The targets as far as one step of limited length goes from where the joints are told to be."""
    rows = zip(at_rad, to_rad, limits_rad, strict=True)
    return [at + min(max(to - at, -limit), limit) for at, to, limit in rows]

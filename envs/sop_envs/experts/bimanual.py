"""Driving either arm by the tip of its closed gripper, in the desk's frame (world).

Everything is relative to the joint targets last commanded: commanding from the measured pose would never
overcome servo friction, and an integrator would be a memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sop_envs import kinematics as kin
from sop_envs.so101 import JAW_CLOSED_RAD, JOINTS, MAX_STEP_RAD, SIDES
from sop_envs.workcell import BASE_Y_M

TIP_BEYOND_TCP_M, TIP_ASIDE_M = 0.008, -0.036  # end of the closed fingers: along them, and along the opening
MAX_LEAD_M = 0.06  # of the commanded before the measured tip, when taking over from a wild policy
_PITCHES_RAD = tuple(math.radians(degrees) for degrees in range(90, 19, -2))
_TURNS_RAD = (0.0, 0.4, -0.4, 0.8, -0.8, 1.2, -1.2, 1.6, -1.6)
_ESCAPE_STEP_RAD = 0.15
_RAISED_RAD = (-1.2, 0.6, 1.1)  # lift, elbow, wrist of an arm drawn back above everything


@dataclass(frozen=True)
class Reach:
    """A way-point of a closed gripper's tip.

    Attributes:
        tip_m: (x, y, z), world.
        pitch_rad: Preferred angle of the fingers below the horizon; the nearest one in reach is taken.
        opening_yaw_rad: Direction in which the jaw would open: the wide side of the closed fingers.
    """

    tip_m: tuple[float, float, float]
    pitch_rad: float
    opening_yaw_rad: float


class Arm:
    """One of the two arms: its measured and commanded tip, and joint targets towards a `Reach`."""

    def __init__(self, side: str) -> None:
        first = SIDES.index(side) * len(JOINTS)
        self.joints = slice(first, first + len(JOINTS))
        self.side, self.base_y_m = side, BASE_Y_M[side]

    def read(self, qpos: NDArray[np.float64], ctrl: NDArray[np.float64]) -> None:
        self.arm_rad, self.commanded_rad = qpos[self.joints].tolist(), ctrl[self.joints].tolist()
        self.tip_m = self.tip_at(self.arm_rad)
        self.commanded_tip_m = self.tip_at(self.commanded_rad)

    @property
    def commanded_opening_yaw_rad(self) -> float:
        return self.commanded_rad[0] - self.commanded_rad[4] + math.pi / 2

    def tip_at(self, arm_rad: list[float]) -> NDArray[np.float64]:
        """Where the fingers of these joint angles would end, were the gripper closed; world, (3,)."""
        tcp, pan = kin.forward(arm_rad), arm_rad[0]
        along, left, up = _tip_from_tcp(tcp.pitch_rad, arm_rad[4])
        return np.array(
            [
                tcp.x_m + along * math.cos(pan) - left * math.sin(pan),
                tcp.y_m + along * math.sin(pan) + left * math.cos(pan) + self.base_y_m,
                tcp.z_m + up,
            ]
        )

    def solve(self, reach: Reach) -> list[float] | None:
        """The five joint angles that reach it as nearly as possible; None if there are none.

        What cannot be reached as asked is reached at another pitch, or, failing that, at another yaw.
        """
        pitches = sorted(_PITCHES_RAD, key=lambda p: abs(p - reach.pitch_rad))
        for turn in _TURNS_RAD:
            for pitch in (reach.pitch_rad, *pitches) if turn == 0.0 else pitches[::3]:
                joints = self._solve_at(reach, pitch, reach.opening_yaw_rad + turn)
                if joints is not None:
                    return joints
        return None

    def _solve_at(self, reach: Reach, pitch_rad: float, opening_yaw_rad: float) -> list[float] | None:
        x, y, z = reach.tip_m[0], reach.tip_m[1] - self.base_y_m, reach.tip_m[2]
        joints, pan = None, math.atan2(y, x - kin.PAN_AXIS_X_M)
        for _ in range(4):  # the roll turns the tip about the hand, which turns the pan: converges at once
            along, left, up = _tip_from_tcp(pitch_rad, self._roll(pan, opening_yaw_rad))
            at_x = x - along * math.cos(pan) + left * math.sin(pan)
            at_y = y - along * math.sin(pan) - left * math.cos(pan)
            joints = kin.inverse(at_x, at_y, z - up, pitch_rad)
            if joints is None:
                return None
            pan = joints[0]
        assert joints is not None
        return [*joints, self._roll(pan, opening_yaw_rad)]

    def _roll(self, pan_rad: float, opening_yaw_rad: float) -> float:
        roll = pan_rad + math.pi / 2 - opening_yaw_rad
        return min(max(roll, kin.ARM_LOWER_RAD[4] + 0.05), kin.ARM_UPPER_RAD[4] - 0.05)

    def towards(self, reach: Reach, stride_m: float) -> NDArray[np.float64]:
        """Targets of the six joints, (6,), one step of at most `stride_m` nearer, jaw closed."""
        at, lead = self.commanded_tip_m, self.commanded_tip_m - self.tip_m
        ahead = math.hypot(*lead.tolist())
        if ahead > MAX_LEAD_M:
            at = at - lead * (1 - MAX_LEAD_M / ahead)
        way = np.array(reach.tip_m) - at
        distance = math.hypot(*way.tolist())
        share = min(1.0, stride_m / distance) if distance > 1e-9 else 1.0
        x, y, z = (at + share * way).tolist()
        solved = self.solve(Reach((x, y, z), reach.pitch_rad, reach.opening_yaw_rad))
        if solved is None:
            return self.withdrawn()
        return self._stepped([*solved, JAW_CLOSED_RAD], MAX_STEP_RAD)

    def withdrawn(self) -> NDArray[np.float64]:
        """One step, joint by joint, towards a raised pose: out of where a straight path cannot leave."""
        pan, roll = self.commanded_rad[0], self.commanded_rad[4]
        raised = [min(max(pan, -0.9), 0.9), *_RAISED_RAD, min(max(roll, -2.0), 2.0), JAW_CLOSED_RAD]
        return self._stepped(raised, (_ESCAPE_STEP_RAD,) * len(JOINTS))

    def _stepped(self, targets_rad: list[float], limits_rad: tuple[float, ...]) -> NDArray[np.float64]:
        """The targets as far as `limits_rad` let one step go from what is commanded."""
        rows = zip(self.commanded_rad, targets_rad, limits_rad, strict=True)
        return np.array([at + min(max(to - at, -limit), limit) for at, to, limit in rows])


def _tip_from_tcp(pitch_rad: float, roll_rad: float) -> tuple[float, float, float]:
    """Offset of the closed fingers' end from the TCP: ahead, to the left, up (m)."""
    cosine, sine, across = math.cos(pitch_rad), math.sin(pitch_rad), TIP_ASIDE_M * math.sin(roll_rad)
    return (
        TIP_BEYOND_TCP_M * cosine + across * sine,
        TIP_ASIDE_M * math.cos(roll_rad),
        across * cosine - TIP_BEYOND_TCP_M * sine,
    )

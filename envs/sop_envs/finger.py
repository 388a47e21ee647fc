"""One arm with its gripper closed, worked with by the tip of its fingers, in the desk's frame (world)."""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_envs import kinematics as kin
from sop_envs.arm_state import ArmState
from sop_envs.workcell import BASE_Y_M

TIP_BEYOND_TCP_M, TIP_ASIDE_M = 0.008, -0.036  # end of the closed fingers: along them, and along the opening
_PITCHES_RAD = tuple(math.radians(degrees) for degrees in range(90, 19, -2))
_TURNS_RAD = (0.0, 0.4, -0.4, 0.8, -0.8, 1.2, -1.2, 1.6, -1.6)
_ROLL_MARGIN_RAD = 0.05


@dataclass(frozen=True)
class Reach:
    """A way-point of the tip.

    Attributes:
        tip_m: (x, y, z), world.
        pitch_rad: Preferred angle of the fingers below the horizon; the nearest one in reach is taken.
        opening_yaw_rad: Direction in which the jaw would open: the wide side of the closed fingers.
    """

    tip_m: tuple[float, float, float]
    pitch_rad: float
    opening_yaw_rad: float


class Finger(ArmState):
    """Where the tip is and was told to be, as of the last `measure`, and the joints that put it elsewhere.

    Attributes:
        tip_m, commanded_tip_m: World, (3,).
    """

    def measure(self, data: mujoco.MjData) -> None:
        super().measure(data)
        self.tip_m, self.commanded_tip_m = self.tip_at(self.arm_rad), self.tip_at(self.commanded_arm_rad)

    @property
    def commanded_rad(self) -> list[float]:
        """All six joints."""
        return [*self.commanded_arm_rad, self.commanded_jaw_rad]

    @property
    def commanded_opening_yaw_rad(self) -> float:
        return self.commanded_arm_rad[0] - self.commanded_arm_rad[4] + math.pi / 2

    def tip_at(self, arm_rad: list[float]) -> NDArray[np.float64]:
        """Where the fingers of these joint angles would end, were the gripper closed; world, (3,)."""
        tcp, pan = kin.forward(arm_rad), arm_rad[0]
        along, left, up = _tip_from_tcp(tcp.pitch_rad, arm_rad[4])
        return np.array(
            [
                tcp.x_m + along * math.cos(pan) - left * math.sin(pan),
                tcp.y_m + along * math.sin(pan) + left * math.cos(pan) + BASE_Y_M[self.side],
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
        x, y, z = reach.tip_m[0], reach.tip_m[1] - BASE_Y_M[self.side], reach.tip_m[2]
        joints, pan = None, math.atan2(y, x - kin.PAN_AXIS_X_M)
        for _ in range(4):  # the roll turns the tip about the hand, which turns the pan: converges at once
            along, left, up = _tip_from_tcp(pitch_rad, _roll(pan, opening_yaw_rad))
            at_x = x - along * math.cos(pan) + left * math.sin(pan)
            at_y = y - along * math.sin(pan) - left * math.cos(pan)
            joints = kin.inverse(at_x, at_y, z - up, pitch_rad)
            if joints is None:
                return None
            pan = joints[0]
        assert joints is not None
        return [*joints, _roll(pan, opening_yaw_rad)]


def _roll(pan_rad: float, opening_yaw_rad: float) -> float:
    roll = pan_rad + math.pi / 2 - opening_yaw_rad
    return min(max(roll, kin.ARM_LOWER_RAD[4] + _ROLL_MARGIN_RAD), kin.ARM_UPPER_RAD[4] - _ROLL_MARGIN_RAD)


def _tip_from_tcp(pitch_rad: float, roll_rad: float) -> tuple[float, float, float]:
    """Offset of the closed fingers' end from the TCP: ahead, to the left, up (m)."""
    cosine, sine, across = math.cos(pitch_rad), math.sin(pitch_rad), TIP_ASIDE_M * math.sin(roll_rad)
    return (
        TIP_BEYOND_TCP_M * cosine + across * sine,
        TIP_ASIDE_M * math.cos(roll_rad),
        across * cosine - TIP_BEYOND_TCP_M * sine,
    )

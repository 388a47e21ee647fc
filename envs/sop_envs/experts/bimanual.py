"""Driving either arm by the tip of its closed gripper, in the desk's frame (world).

Everything is relative to the joint targets last commanded: commanding from the measured pose would never
overcome servo friction, and an integrator would be a memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
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
_RAISED_RAD = (-0.9, 0.6, 1.1)  # lift, elbow, wrist of an arm drawn back above everything


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

    def tip_at(self, arm_rad: list[float]) -> NDArray[np.float64]:
        """Where the fingers of these joint angles would end, were the gripper closed; world, (3,)."""
        fingers, opening, _ = kin.hand_axes(arm_rad)
        tip = np.array(kin.forward(arm_rad).xyz_m) + TIP_BEYOND_TCP_M * fingers + TIP_ASIDE_M * opening
        tip[1] += self.base_y_m
        return tip

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
        cosine, sine = math.cos(pitch_rad), math.sin(pitch_rad)
        for _ in range(4):  # the roll turns the tip about the hand, which turns the pan: converges at once
            roll = self._roll(pan, opening_yaw_rad)
            along = TIP_BEYOND_TCP_M * cosine + TIP_ASIDE_M * math.sin(roll) * sine
            left = TIP_ASIDE_M * math.cos(roll)
            up = -TIP_BEYOND_TCP_M * sine + TIP_ASIDE_M * math.sin(roll) * cosine
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
        return float(np.clip(roll, kin.ARM_LOWER_RAD[4] + 0.05, kin.ARM_UPPER_RAD[4] - 0.05))

    def towards(self, reach: Reach, stride_m: float) -> NDArray[np.float64]:
        """Targets of the six joints, (6,), one step of at most `stride_m` nearer, jaw closed."""
        at = self.commanded_tip_m.copy()
        lead = at - self.tip_m
        ahead = float(np.linalg.norm(lead))
        if ahead > MAX_LEAD_M:
            at -= lead * (1 - MAX_LEAD_M / ahead)
        way = np.array(reach.tip_m) - at
        distance = float(np.linalg.norm(way))
        share = min(1.0, stride_m / distance) if distance > 1e-9 else 1.0
        x, y, z = (at + share * way).tolist()
        solved = self.solve(Reach((x, y, z), reach.pitch_rad, reach.opening_yaw_rad))
        if solved is None:
            return self.withdrawn()
        targets = np.array([*solved, JAW_CLOSED_RAD])
        limit = np.array(MAX_STEP_RAD)
        return np.clip(targets, self.commanded_rad - limit, self.commanded_rad + limit)

    def withdrawn(self) -> NDArray[np.float64]:
        """One step, joint by joint, towards a raised pose: out of where a straight path cannot leave."""
        pan, *_, roll, _ = self.commanded_rad
        raised = np.array([float(np.clip(pan, -0.9, 0.9)), *_RAISED_RAD, float(np.clip(roll, -2, 2)), JAW_CLOSED_RAD])
        return self.commanded_rad + np.clip(raised - self.commanded_rad, -_ESCAPE_STEP_RAD, _ESCAPE_STEP_RAD)

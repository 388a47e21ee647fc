"""How an expert moves an arm: the commanded TCP goes towards a way-point, one limited stride per call.

Commanding from the measured pose would never overcome servo friction, and an integrator would be a memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sop_envs import kinematics as kin
from sop_envs.arm_state import ArmState
from sop_envs.so101 import MAX_STEP_RAD

STEP_RANGE_M, STEP_SHARE = (0.012, 0.030), 0.4  # of the commanded TCP, per control step: slower near the goal
MAX_LEAD_M = 0.06  # of the commanded before the measured TCP, when taking over from a wild policy
ESCAPE_STEP_RAD = 0.15
ESCAPE_HEIGHT_M = 0.108
_RAISED_RAD = kin.steepest(0.21, 0.0, ESCAPE_HEIGHT_M) or (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Move:
    """A way-point of the TCP in the arm's base frame (height above the table), and what the hand does there.

    Attributes:
        jaw_rad: Target of the gripper.
        jaw_yaw_rad: Direction in which the jaw shall open; None leaves the wrist's roll alone.
    """

    x_m: float
    y_m: float
    height_m: float
    jaw_rad: float
    jaw_yaw_rad: float | None = None


def stay(arm: ArmState, table_m: float, jaw_rad: float) -> Move:
    """Where the arm has been told to be already, with another jaw."""
    command = arm.commanded_tcp
    return Move(command.x_m, command.y_m, command.z_m - table_m, jaw_rad)


def joints_towards(arm: ArmState, move: Move, table_m: float) -> list[float]:
    """Six joint targets (rad) that take the commanded TCP one stride towards `move`.

    The gripper is as steep as it can be there. Where no straight path leads on, the arm first raises itself.
    """
    command = arm.commanded_tcp
    at = list(command.xyz_m)
    lead = [a - b for a, b in zip(at, arm.tcp.xyz_m, strict=True)]
    ahead = math.hypot(*lead)
    if ahead > MAX_LEAD_M:
        at = [a - part * (1 - MAX_LEAD_M / ahead) for a, part in zip(at, lead, strict=True)]
    to = (move.x_m, move.y_m, move.height_m + table_m)
    way = [b - a for a, b in zip(at, to, strict=True)]
    distance = math.hypot(*way)
    stride = min(STEP_RANGE_M[1], max(STEP_RANGE_M[0], STEP_SHARE * distance))
    share = min(1.0, stride / distance) if distance > 1e-9 else 1.0
    x, y, z = (a + share * part for a, part in zip(at, way, strict=True))
    joints = kin.steepest(x, y, z) or _back_within_reach(arm)
    pan, roll = joints[0], arm.commanded_arm_rad[4]
    if move.jaw_yaw_rad is not None:
        wanted = pan + math.pi / 2 - move.jaw_yaw_rad
        roll += float(np.clip(wanted - roll, -MAX_STEP_RAD[4], MAX_STEP_RAD[4]))
    return [*joints, roll, move.jaw_rad]


def _back_within_reach(arm: ArmState) -> tuple[float, ...]:
    """Out of a pose that a straight TCP path cannot leave: joint by joint towards a raised one."""
    now = arm.commanded_arm_rad[:4]
    return tuple(
        q + float(np.clip(target - q, -ESCAPE_STEP_RAD, ESCAPE_STEP_RAD))
        for q, target in zip(now, (float(np.clip(now[0], -0.8, 0.8)), *_RAISED_RAD[1:]), strict=True)
    )

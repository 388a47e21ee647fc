"""Closed-form kinematics of one SO-101 arm, in plain floats: a call costs microseconds.

Frames: everything is in the base frame of the arm (x forward, y left, z up, metres). Zero joint angles are
the upper arm up and forearm and gripper forward; positive lift, elbow and wrist angles tilt downwards. The
pitch is the angle of the gripper below the horizon: pi/2 points straight down.

Dimensions are those of the public CAD model of the SO-ARM101.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PAN_AXIS_X_M, PAN_AXIS_Z_M = 0.0388, 0.0624
LIFT_FORWARD_M, LIFT_UP_M = 0.0304, 0.0542  # of the lift axis, from the pan axis
UPPER_FORWARD_M, UPPER_UP_M = 0.0280, 0.1126
FOREARM_FORWARD_M, FOREARM_UP_M = 0.1349, 0.0052
WRIST_TO_ROLL_M = 0.0611
ROLL_TO_TCP_M = 0.0981

_LIFT_Z_M = PAN_AXIS_Z_M + LIFT_UP_M
_HAND_M = WRIST_TO_ROLL_M + ROLL_TO_TCP_M
_UPPER_M = math.hypot(UPPER_FORWARD_M, UPPER_UP_M)
_FOREARM_M = math.hypot(FOREARM_FORWARD_M, FOREARM_UP_M)
_UPPER_REST_RAD = math.atan2(UPPER_UP_M, UPPER_FORWARD_M)
_FOREARM_REST_RAD = math.atan2(FOREARM_UP_M, FOREARM_FORWARD_M)

ARM_LOWER_RAD = (-1.92, -1.745, -1.69, -1.658, -2.74)  # pan, lift, elbow, wrist, roll
ARM_UPPER_RAD = (1.92, 1.745, 1.69, 1.658, 2.84)
GRIPPER_LOWER_RAD, GRIPPER_UPPER_RAD = -0.17, 1.75

_STEEPEST_RAD, _SHALLOWEST_RAD, _PITCH_STEP_RAD = math.radians(90), math.radians(20), math.radians(1)
_MARGIN_RAD = 0.03  # kept free before a joint limit


@dataclass(frozen=True)
class TcpPose:
    """Pose of the tool centre point, in the arm's base frame."""

    x_m: float
    y_m: float
    z_m: float
    pitch_rad: float
    jaw_yaw_rad: float
    """Direction in which the jaw opens, about the vertical; exact for a gripper that points down."""

    @property
    def xyz_m(self) -> tuple[float, float, float]:
        return self.x_m, self.y_m, self.z_m


def forward(arm_rad: tuple[float, ...] | list[float]) -> TcpPose:
    """Where the joints (pan, lift, elbow, wrist, roll) put the TCP."""
    pan, lift, elbow, wrist, roll = arm_rad[:5]
    upper, forearm = _UPPER_REST_RAD - lift, _FOREARM_REST_RAD - lift - elbow  # elevations
    pitch = lift + elbow + wrist
    reach = (
        LIFT_FORWARD_M
        + _UPPER_M * math.cos(upper)
        + _FOREARM_M * math.cos(forearm)
        + _HAND_M * math.cos(pitch)
    )
    height = (
        _LIFT_Z_M + _UPPER_M * math.sin(upper) + _FOREARM_M * math.sin(forearm) - _HAND_M * math.sin(pitch)
    )
    return TcpPose(
        PAN_AXIS_X_M + reach * math.cos(pan), reach * math.sin(pan), height, pitch, pan - roll + math.pi / 2
    )


def inverse(x_m: float, y_m: float, z_m: float, pitch_rad: float) -> tuple[float, float, float, float] | None:
    """Pan, lift, elbow and wrist that put the TCP there at that pitch (elbow up); None if out of reach."""
    pan = math.atan2(y_m, x_m - PAN_AXIS_X_M)
    reach = math.hypot(x_m - PAN_AXIS_X_M, y_m)
    wrist_x = reach - LIFT_FORWARD_M - _HAND_M * math.cos(pitch_rad)
    wrist_z = z_m - _LIFT_Z_M + _HAND_M * math.sin(pitch_rad)
    cosine = (wrist_x**2 + wrist_z**2 - _UPPER_M**2 - _FOREARM_M**2) / (2 * _UPPER_M * _FOREARM_M)
    if abs(cosine) > 1:
        return None
    bend = math.acos(cosine)
    upper = math.atan2(wrist_z, wrist_x) + math.atan2(
        _FOREARM_M * math.sin(bend), _UPPER_M + _FOREARM_M * math.cos(bend)
    )
    lift = _UPPER_REST_RAD - upper
    elbow = _FOREARM_REST_RAD - (upper - bend) - lift
    joints = (pan, lift, elbow, pitch_rad - lift - elbow)
    inside = all(
        low + _MARGIN_RAD <= q <= high - _MARGIN_RAD
        for q, low, high in zip(joints, ARM_LOWER_RAD, ARM_UPPER_RAD, strict=False)
    )
    return joints if inside else None


def steepest(x_m: float, y_m: float, z_m: float) -> tuple[float, float, float, float] | None:
    """`inverse` at the steepest pitch within reach (straight down if possible); None if there is none."""
    pitch = _STEEPEST_RAD
    while pitch >= _SHALLOWEST_RAD:
        joints = inverse(x_m, y_m, z_m, pitch)
        if joints is not None:
            return joints
        pitch -= _PITCH_STEP_RAD
    return None


def hand_axes(arm_rad: tuple[float, ...] | list[float]) -> tuple[NDArray[np.float64], ...]:
    """Unit vectors of the hand in the base frame: along the fingers, direction of opening, and the third."""
    pan, lift, elbow, wrist, roll = arm_rad[:5]
    pitch = lift + elbow + wrist
    ahead, left = (
        np.array([math.cos(pan), math.sin(pan), 0.0]),
        np.array([-math.sin(pan), math.cos(pan), 0.0]),
    )
    fingers = math.cos(pitch) * ahead - np.array([0.0, 0.0, math.sin(pitch)])
    upper = np.cross(fingers, left)
    opening = math.cos(roll) * left + math.sin(roll) * upper
    return fingers, opening, np.cross(fingers, opening)

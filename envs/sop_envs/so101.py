"""The SO-101 arm as a tree of MuJoCo primitives, and the names and limits of its joints."""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math

import mujoco
import numpy as np

from sop_envs import kinematics as kin
from sop_envs.damping import linear
from sop_envs.products import ARM_BIT, FIXTURE_BIT, PRODUCT_BIT
from sop_envs.servo import ServoParameters

SIDES = ("left", "right")
ARM_JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")
JOINTS = (*ARM_JOINTS, "gripper")
JOINT_NAMES = tuple(f"{side}_{joint}" for side in SIDES for joint in JOINTS)

JAW_OPEN_RAD = 0.85
JAW_CLOSED_RAD = kin.GRIPPER_LOWER_RAD
JAW_PARALLEL_RAD = 0.15  # where the two pads are parallel, 29 mm apart: the width of a product

MAX_STEP_RAD = (0.30, 0.30, 0.30, 0.30, 0.35, 0.22)  # per control step of 0.1 s; the jaw ejects if faster

# In the hand frame (origin on the roll axis, x along the fingers, jaw opening towards +y):
FIXED_FACE_M = -0.036  # inner face; leaves 22 mm beside a product that is centred on the TCP
_PAD_X_M, _PAD_HALF_M = 0.089, (0.017, 0.002, 0.010)
_JAW_PIVOT_M = (0.016, 0.004, 0.0)
JAW_GAP_M = 0.029  # between the pads when they are parallel
JAW_LEVER_M = 0.075  # from the jaw's hinge to its pad

_SHELL, _SERVO, _FINGER, _PAD = (
    (0.93, 0.92, 0.89, 1),
    (0.16, 0.17, 0.19, 1),
    (0.24, 0.26, 0.29, 1),
    (0.62, 0.63, 0.65, 1),
)
_BOX, _CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
_PITCH_AXIS = (0.0, 1.0, 0.0)


def joint_limits_rad() -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits of the twelve joints, in the order of `JOINT_NAMES`."""
    lower = [*kin.ARM_LOWER_RAD, kin.GRIPPER_LOWER_RAD]
    upper = [*kin.ARM_UPPER_RAD, kin.GRIPPER_UPPER_RAD]
    return np.array(lower * 2, np.float32), np.array(upper * 2, np.float32)


def jaw_face_m(jaw_rad: float) -> float:
    """Where the middle of the jaw's pad is, along the direction of opening, seen from the TCP."""
    return FIXED_FACE_M + JAW_GAP_M + JAW_LEVER_M * math.sin(jaw_rad - JAW_PARALLEL_RAD)


def jaw_around_rad(width_m: float) -> float:
    """The jaw angle at which both pads touch something this wide: the inverse of `jaw_face_m`."""
    return JAW_PARALLEL_RAD + math.asin((width_m - JAW_GAP_M) / JAW_LEVER_M)


def add_arm(
    spec: mujoco.MjSpec, side: str, base_m: tuple[float, float, float], servo: ServoParameters, grip: float
) -> None:
    """Mount an arm with its base frame at `base_m` (world); `grip` is the sliding friction of its pads."""
    base = spec.worldbody.add_body(name=f"{side}_base", pos=base_m)
    _part(base, (0.015, 0, 0.024), (0.045, 0.034, 0.024), _SHELL)
    pan = _link(
        spec, base, side, "shoulder_pan", (kin.PAN_AXIS_X_M, 0, kin.PAN_AXIS_Z_M), (0, 0, 1), servo, 0.12
    )
    _part(pan, (0.016, 0, 0.026), (0.028, 0.024, 0.036), _SERVO)
    pan.sleep = mujoco.mjtSleepPolicy.mjSLEEP_ALLOWED  # a parked arm costs nothing; a new target wakes it
    lift = _link(
        spec,
        pan,
        side,
        "shoulder_lift",
        (kin.LIFT_FORWARD_M, 0, kin.LIFT_UP_M),
        _PITCH_AXIS,
        servo,
        0.16,
        (0.014, 0, 0.056),
    )
    slant = math.atan2(kin.UPPER_FORWARD_M, kin.UPPER_UP_M)
    _part(
        lift,
        (0.014, 0, 0.056),
        (0.014, 0.020, 0.066),
        _SHELL,
        (math.cos(slant / 2), 0, math.sin(slant / 2), 0),
    )
    elbow = _link(
        spec,
        lift,
        side,
        "elbow_flex",
        (kin.UPPER_FORWARD_M, 0, kin.UPPER_UP_M),
        _PITCH_AXIS,
        servo,
        0.14,
        (0.067, 0, 0),
    )
    _part(elbow, (0.067, 0, 0.003), (0.076, 0.017, 0.013), _SHELL)
    wrist = _link(
        spec,
        elbow,
        side,
        "wrist_flex",
        (kin.FOREARM_FORWARD_M, 0, kin.FOREARM_UP_M),
        _PITCH_AXIS,
        servo,
        0.09,
        (0.03, 0, 0),
    )
    _part(wrist, (0.028, 0, 0), (0.034, 0.015, 0.016), _SERVO)
    hand = _link(
        spec, wrist, side, "wrist_roll", (kin.WRIST_TO_ROLL_M, 0, 0), (1, 0, 0), servo, 0.09, (0.03, -0.02, 0)
    )
    _add_gripper(spec, hand, side, servo, grip)


def _link(
    spec: mujoco.MjSpec,
    parent: mujoco.MjsBody,
    side: str,
    joint: str,
    at_m: tuple[float, float, float],
    axis: tuple[float, float, float],
    servo: ServoParameters,
    mass_kg: float,
    centre_m: tuple[float, float, float] = (0.01, 0.0, 0.01),
) -> mujoco.MjsBody:
    """A child body on a hinge with its servo; link masses are those of printed parts plus a 55 g servo."""
    name = f"{side}_{joint}"
    body = parent.add_body(name=name, pos=at_m)
    body.mass, body.ipos, body.inertia, body.explicitinertial = mass_kg, centre_m, [1e-4] * 3, True
    is_gripper = joint == "gripper"
    index = JOINTS.index(joint)
    limits = [a[index] for a in joint_limits_rad()]
    hinge = body.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=axis, range=limits, limited=True)
    hinge.damping = linear(
        servo.gripper_joint_damping_nms_per_rad if is_gripper else servo.joint_damping_nms_per_rad
    )
    hinge.frictionloss = 0.0 if is_gripper else servo.joint_friction_nm
    hinge.armature = servo.gripper_armature_kgm2 if is_gripper else servo.armature_kgm2
    force = servo.gripper_force_limit_nm if is_gripper else servo.force_limit_nm
    actuator = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    if is_gripper:
        actuator.set_to_position(kp=servo.gripper_stiffness_nm_per_rad, kv=servo.gripper_damping_nms_per_rad)
    else:
        actuator.set_to_position(kp=servo.stiffness_nm_per_rad)
    actuator.forcelimited, actuator.forcerange = True, [-force, force]
    return body


def _add_gripper(
    spec: mujoco.MjSpec, hand: mujoco.MjsBody, side: str, servo: ServoParameters, grip: float
) -> None:
    """The fixed finger, the hinged jaw and the wrist camera."""
    finger_y = FIXED_FACE_M - 2 * _PAD_HALF_M[1] - 0.004
    _part(hand, (0.006, -0.008, 0), (0.018, 0.038, 0.014), _SERVO, collides=True)
    _part(hand, (0.060, finger_y, 0), (0.046, 0.004, 0.009), _FINGER, collides=True)
    _pad(hand, f"{side}_fixed_pad", (_PAD_X_M, FIXED_FACE_M - _PAD_HALF_M[1], 0), (1, 0, 0, 0), grip)
    hand.add_camera(
        name=f"wrist_{side}",
        pos=[-0.010, 0.004, 0.052],
        fovy=70,
        quat=_camera_along_fingers(math.radians(24)),
    )
    jaw = _link(spec, hand, side, "gripper", _JAW_PIVOT_M, (0, 0, 1), servo, 0.03, (0.04, 0, 0))
    # The jaw's parts are laid out in the hand frame as they are when parallel, then turned back to zero.
    turn = -JAW_PARALLEL_RAD
    quat = (math.cos(turn / 2), 0, 0, math.sin(turn / 2))

    def in_jaw(x: float, y: float) -> tuple[float, float, float]:
        dx, dy = x - _JAW_PIVOT_M[0], y - _JAW_PIVOT_M[1]
        return dx * math.cos(turn) - dy * math.sin(turn), dx * math.sin(turn) + dy * math.cos(turn), 0.0

    jaw_face = FIXED_FACE_M + JAW_GAP_M
    _part(
        jaw, in_jaw(0.060, jaw_face + 2 * _PAD_HALF_M[1] + 0.004), (0.046, 0.004, 0.009), _FINGER, quat, True
    )
    _pad(jaw, f"{side}_jaw_pad", in_jaw(_PAD_X_M, jaw_face + _PAD_HALF_M[1]), quat, grip)


def _camera_along_fingers(tilt_rad: float) -> np.ndarray:
    """Orientation of a camera that looks along x of the hand, tilted towards the fingers, y to its left."""
    forward = np.array([math.cos(tilt_rad), 0.0, -math.sin(tilt_rad)])
    right = np.array([0.0, -1.0, 0.0])
    axes = np.column_stack([right, np.cross(right, forward), -forward])
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, axes.ravel())
    return quat


def _part(
    body: mujoco.MjsBody,
    centre_m: tuple[float, float, float],
    half_m: tuple[float, float, float],
    rgba: tuple[float, ...],
    quat: tuple[float, ...] = (1, 0, 0, 0),
    collides: bool = False,
) -> None:
    body.add_geom(
        type=_BOX,
        pos=centre_m,
        size=half_m,
        quat=quat,
        rgba=rgba,
        mass=0,
        group=0,
        contype=ARM_BIT if collides else 0,
        conaffinity=FIXTURE_BIT | PRODUCT_BIT if collides else 0,
    )


def _pad(
    body: mujoco.MjsBody,
    name: str,
    centre_m: tuple[float, float, float],
    quat: tuple[float, ...],
    grip: float,
) -> None:
    body.add_geom(
        name=name,
        type=_BOX,
        pos=centre_m,
        size=_PAD_HALF_M,
        quat=quat,
        rgba=_PAD,
        mass=0,
        group=0,
        contype=ARM_BIT,
        conaffinity=FIXTURE_BIT | PRODUCT_BIT,
        condim=4,
        priority=1,  # the rubber decides the friction, whatever it touches
        friction=[grip, 0.02, 0.0001],
    )

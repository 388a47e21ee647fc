"""The Feetech STS3215 bus servo as a MuJoCo position actuator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServoParameters:
    """One set for the ten arm servos and one for the two grippers.

    The arm numbers are those identified for the public SO-101 model; there is no integral term, so an arm
    droops by some millimetres under its own weight, as the real one does. The gripper is weaker than the
    servo could be (1 N m, about 13 N at the pads): stronger ones eject what they close on.

    Damping and force limit make the speed of a servo that carries nothing: 5.6 rad/s for the arm (the
    datasheet says 4.7 at 7.4 V), and 2.5 for a gripper.

    Attributes:
        latency_s: Delay from a new target to its effect, a whole number of physics steps.
    """

    stiffness_nm_per_rad: float = 17.8
    force_limit_nm: float = 3.35
    joint_damping_nms_per_rad: float = 0.60
    joint_friction_nm: float = 0.052
    armature_kgm2: float = 0.028
    gripper_stiffness_nm_per_rad: float = 10.0
    gripper_damping_nms_per_rad: float = 1.0
    gripper_joint_damping_nms_per_rad: float = 0.40
    gripper_force_limit_nm: float = 1.0
    gripper_armature_kgm2: float = 0.005
    latency_s: float = 0.02

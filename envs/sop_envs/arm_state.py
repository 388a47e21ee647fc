"""Where one arm is and where it was told to be, in its own base frame."""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import mujoco

from sop_envs import kinematics as kin
from sop_envs.so101 import JOINTS, SIDES


class ArmState:
    """Measured and commanded joints of one arm and its TCP; plain floats, as of the last `measure`.

    Attributes:
        joints: The arm's part of a vector over `sop_envs.so101.JOINT_NAMES`.
        arm_rad, commanded_arm_rad: Pan, lift, elbow, wrist and roll.
        jaw_rad, commanded_jaw_rad: Of the gripper.
        tcp, commanded_tcp: Poses in the base frame of this arm; tcp_m, commanded_tcp_m: their places.
        base_m: Origin of that frame.
    """

    base_m = (0.0, 0.0, 0.0)

    def __init__(self, side: str) -> None:
        first = SIDES.index(side) * len(JOINTS)
        self.side, self.joints = side, slice(first, first + len(JOINTS))

    def measure(self, data: mujoco.MjData) -> None:
        measured, commanded = data.qpos[self.joints].tolist(), data.ctrl[self.joints].tolist()
        self.arm_rad, self.jaw_rad = measured[:5], measured[5]
        self.commanded_arm_rad, self.commanded_jaw_rad = commanded[:5], commanded[5]
        self.tcp = kin.forward(self.arm_rad)
        self.tcp_m = self.tcp.xyz_m

    @property
    def commanded_tcp(self) -> kin.TcpPose:
        return kin.forward(self.commanded_arm_rad)

    @property
    def commanded_tcp_m(self) -> tuple[float, float, float]:
        return self.commanded_tcp.xyz_m

"""One arm as measured and as commanded, in the world frame: what an expert with two of them works on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sop_envs import kinematics as kin
from sop_envs.so101 import FIXED_FACE_M
from sop_envs.workcell import BASE_Y_M


class Hand:
    """The state of one arm and its gripper. Heights count from the table top.

    Attributes:
        base_m: Of the arm, (3,): add it to what `kinematics` says.
        arm_rad, commanded_arm_rad: The five arm joints; jaw_rad, commanded_jaw_rad: the gripper.
        tcp_m, commanded_tcp_m: (3,).
        fingers, opening, third: Unit vectors (3,): along the fingers, direction of opening, across both.
        jaw_yaw_rad: Direction of opening about the vertical, for a gripper that points down.
    """

    def __init__(self, side: str, measured: list[float], commanded: list[float], table_m: float) -> None:
        self.side = side
        self.base_m = np.array([0.0, BASE_Y_M[side], -table_m])
        self.arm_rad, self.jaw_rad = measured[:5], measured[5]
        self.commanded_arm_rad, self.commanded_jaw_rad = commanded[:5], commanded[5]
        tcp, command = kin.forward(self.arm_rad), kin.forward(self.commanded_arm_rad)
        self.tcp_m = np.array(tcp.xyz_m) + self.base_m
        self.commanded_tcp_m = np.array(command.xyz_m) + self.base_m
        self.jaw_yaw_rad = tcp.jaw_yaw_rad
        self.fingers, self.opening, self.third = kin.hand_axes(self.arm_rad)

    def grip_m(self, width_m: float) -> NDArray[np.float64]:
        """Where something this wide is held: against the fixed pad, (3,)."""
        return self.tcp_m + (FIXED_FACE_M + width_m / 2) * self.opening

    def seen_from(self, point_m: NDArray[np.float64]) -> tuple[float, float, float]:
        """A point from the TCP: along the fingers, in the direction of opening, and across both."""
        offset = point_m - self.tcp_m
        return float(offset @ self.fingers), float(offset @ self.opening), float(offset @ self.third)

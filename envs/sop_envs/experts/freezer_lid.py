"""How the left hand of ``restock/freezer`` takes the lid by its bar, swings it, and lets go."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sop_envs import kinematics as kin
from sop_envs.experts.arm import Move, lag_m, stay
from sop_envs.experts.restock import LAG_LIMIT_M
from sop_envs.so101 import FIXED_FACE_M, JAW_CLOSED_RAD, JAW_OPEN_RAD
from sop_envs.tasks.freezer_scene import BAR_RADIUS_M, bar_m
from sop_envs.workcell import BASE_Y_M

if TYPE_CHECKING:
    from sop_envs.tasks.freezer import FreezerSituation

ARC_STEP_RAD = 0.35  # how far ahead of the lid its way-point lies

_GAP_M = 0.010  # between bar and fixed pad before the jaw closes
_PINCH_BELOW_M = 0.002  # TCP below the middle of the bar
_OVER_BAR_M = 0.040
_RETREAT_M, _RAISED_M = 0.060, 0.24
_HOOKED_M = 0.040  # below where it is told to be, a hand under a lifted lid has caught the bar from below
_AJAR_RAD, _ASIDE_M = 0.3, 0.070
_TOO_FAR_RAD = 1.5  # a jaw that closes beyond here would lean on the glass: the lid has to come down first
_EMPTY_JAW_RAD = -0.08  # closed further than around the bar
_HOLDING_RAD = 0.10  # from where the lid is to be
_REGRIP = 0.3  # share by which a hand that has slipped along the bar makes up for it
_LEFT_FROM_RIGHT_M = np.array([0.0, BASE_Y_M["left"] - BASE_Y_M["right"], 0.0])
_JAW_TOWARDS_ROBOT_RAD = math.pi  # the left hand's jaw opens away from the lid


class LidHand:
    """The moves of the left arm, in its own base frame, on the privileged measurements of a situation."""

    def __init__(self, situation: FreezerSituation) -> None:
        self._s, self._arm = situation, situation.left

    @property
    def _bar_m(self) -> NDArray[np.float64]:
        return self._s.bar_m - _LEFT_FROM_RIGHT_M

    @property
    def _tcp_m(self) -> NDArray[np.float64]:
        return self._s.left_tcp_m - _LEFT_FROM_RIGHT_M

    def swing(self, to_rad: float) -> Move:
        """Along the arc of the bar; the hand roughly keeps the grip that it has."""
        lid, bar = self._s.lid_rad, self._bar_m
        onward = bar_m(lid + float(np.clip(to_rad - lid, -ARC_STEP_RAD, ARC_STEP_RAD))) - _LEFT_FROM_RIGHT_M
        tcp = self._tcp_m
        at = onward + (1 - _REGRIP) * (tcp - bar) + _REGRIP * (self._grip_at(0.0) - bar)
        # A hand that only holds would sink by its droop, again and again, until the bar leaves its fingers.
        x, y, z = at + lag_m(self._arm, LAG_LIMIT_M) if abs(to_rad - lid) < _HOLDING_RAD else at
        return self._to(x, y, z, JAW_CLOSED_RAD, _JAW_TOWARDS_ROBOT_RAD)

    def _grip_at(self, gap_m: float) -> NDArray[np.float64]:
        """Where the TCP is when the bar is `gap_m` from the fixed pad."""
        _, opening, _ = kin.hand_axes(self._arm.arm_rad)
        bar = self._bar_m
        at = bar - (FIXED_FACE_M + BAR_RADIUS_M + gap_m) * opening
        at[1] = bar[1]
        at[2] -= _PINCH_BELOW_M
        return at

    def release(self) -> Move:
        """Open, and lift the fingers off the bar."""
        command = self._arm.commanded_tcp
        if self._s.lid_held or self._arm.jaw_rad < 0.25:
            return stay(self._arm, JAW_OPEN_RAD)
        height = min(_RAISED_M, self._bar_m[2] + _RETREAT_M)
        return self._to(command.x_m, command.y_m, max(height, command.z_m - self._s.table_m), JAW_OPEN_RAD)

    def reach(self) -> Move:
        """Fixed finger over the lid, close to the bar; from above."""
        left, bar, tcp = self._arm, self._bar_m, self._tcp_m
        fingers, opening, _ = kin.hand_axes(left.arm_rad)
        at = self._grip_at(_GAP_M)
        error = tcp - at
        in_line = math.hypot(error[0], error[1])
        turned = abs(_wrapped(left.tcp.jaw_yaw_rad - _JAW_TOWARDS_ROBOT_RAD)) < 0.25
        along = float((bar - tcp) @ opening)
        around = FIXED_FACE_M < along < 0.03 and -0.024 < float((bar - tcp) @ fingers) < 0.008
        closing = left.commanded_jaw_rad < JAW_OPEN_RAD - 0.05
        within_reach = self._s.lid_rad < _TOO_FAR_RAD
        if (
            within_reach
            and left.jaw_rad > _EMPTY_JAW_RAD
            and turned
            and around
            and abs(error[1]) < 0.018
            and (closing or (in_line < 0.012 and abs(error[2]) < 0.008))
        ):
            x, y, z = self._grip_at(0.0)  # the bar does not give way: bring the fixed pad to it
            return self._to(x, y, z, JAW_CLOSED_RAD, _JAW_TOWARDS_ROBOT_RAD)
        allowed = 0.008 + 0.010 * max(0.0, 1 - max(0.0, error[2]) / _OVER_BAR_M)
        if within_reach and turned and in_line < allowed and left.jaw_rad > JAW_OPEN_RAD - 0.15:
            x, y, z = at + lag_m(left, LAG_LIMIT_M)
            return self._to(x, y, z, JAW_OPEN_RAD, _JAW_TOWARDS_ROBOT_RAD)
        command, over = left.commanded_tcp, at[2] + _OVER_BAR_M
        commanded_height = command.z_m - self._s.table_m
        if commanded_height - tcp[2] > _HOOKED_M and self._s.lid_rad > _AJAR_RAD:
            return self._to(command.x_m, bar[1] + _ASIDE_M, commanded_height, JAW_OPEN_RAD)
        # A stretched arm droops: where it is told to be is high enough.
        if error[2] < 0.020 and in_line > 0.020 and commanded_height < over - 0.006:
            return self._to(command.x_m, command.y_m, over, JAW_OPEN_RAD)
        return self._to(at[0], at[1], over, JAW_OPEN_RAD, _JAW_TOWARDS_ROBOT_RAD)

    def _to(
        self, x_m: float, y_m: float, height_m: float, jaw_rad: float, jaw_yaw_rad: float | None = None
    ) -> Move:
        """A way-point whose height counts from the table top."""
        return Move((x_m, y_m, height_m + self._s.table_m), jaw_rad, jaw_yaw_rad)


def _wrapped(angle_rad: float) -> float:
    return (angle_rad + math.pi) % (2 * math.pi) - math.pi

"""How a fingertip folds a flap shut, pries one open, and gets out of the way.

Each move looks at the state alone and gives the joint targets of one arm for one control step. In the frame
of a flap's hinge ``w`` points into the opening, ``v`` along the hinge and ``z`` up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sop_envs.carton import FAR, LEFT, MINORS, NEAR, RIGHT
from sop_envs.experts.arm import finger_towards
from sop_envs.finger import Finger, Reach
from sop_envs.tasks.box_close_scene import HOME_PITCH_RAD, HOME_TIP_M

if TYPE_CHECKING:
    from sop_envs.tasks.box_close import BoxCloseSituation

STRIDE_M, SWEEP_STRIDE_M = 0.030, 0.014  # of the commanded tip, per control step: free, and in contact
FINGER_M = 0.011  # half the thickness of the closed fingers across a hinge, and a little
OUTSIDE_M = 0.014  # room between the fingers and a flap that they come down beside
SWEEP_SHARE = 0.72  # of a flap's length, from its hinge: where it is pushed
SWEEP_LEAD_RAD, PRESS_RAD = 0.60, -0.25  # the commanded tip is this far ahead of the flap, down to here
LIFT_LEAD_RAD, LIFT_INWARDS_M, LIFT_BITE_M = 0.50, 0.012, 0.016
LOW_RAD = 0.9  # a flap below this is pressed from above instead of swept from behind
HOOK_RAD, STEEP_RAD = 1.0, 1.5  # leaning fingers get under an edge; upright ones meet one on a support
DROOP_SHARE, DROOP_LIMIT_M = 0.8, 0.040  # of the lag in height, made up for when rising
ABOVE_M = 0.025  # a finger this little above a flap is at work on it
CLEAR_M, CORRIDOR_M = 0.018, 0.035  # above flaps that are passed over; how near to the way they count

ASIDE_M = {NEAR: -0.028, FAR: -0.028}  # keeps the two arms apart while both fold a minor
PITCH_RAD = {NEAR: 1.30, FAR: 1.25, RIGHT: 1.40, LEFT: 1.40}
MINOR_OPENING_RAD = {"left": -math.pi / 2, "right": math.pi / 2}  # keeps either hand between the majors
MAJOR_OPENING_RAD = 0.0  # keeps either hand away from its base


class FlapMoves:
    """The moves, on the privileged measurements of a situation."""

    def __init__(self, situation: BoxCloseSituation) -> None:
        self._s = situation

    def close(self, finger: Finger, flap: int) -> list[float]:
        """Over the flap's edge, down behind it, sweep it round, press: (6,)."""
        s, length, q = self._s, self._s.carton.flap_m[flap], float(self._s.angles_rad[flap])
        _, v, _ = self.local(finger.tip_m, flap)
        aside, edge_w, edge_z = ASIDE_M.get(flap, 0.0), length * math.cos(q), length * math.sin(q)
        low = min(0.45 * length, 0.5 * edge_z) if q > math.pi / 2 else 0.45 * length
        aligned = abs(v - aside) < s.carton.half_width_m(flap) - 0.004
        if aligned and self.behind(finger, flap):
            if q > 1.6:  # upright fingers against the free edge
                return self._step(finger, flap, (edge_w - FINGER_M + 0.03, aside, low), SWEEP_STRIDE_M)
            ahead, radius = max(q - SWEEP_LEAD_RAD, PRESS_RAD), SWEEP_SHARE * length
            to = radius * math.cos(ahead), aside, radius * math.sin(ahead)
            return self._step(finger, flap, to, SWEEP_STRIDE_M)
        # Fingers that come down inside the edge of an open flap would bend it back instead.
        start = SWEEP_SHARE * edge_w if q < LOW_RAD else min(edge_w, 0.0) - FINGER_M - OUTSIDE_M
        if q >= LOW_RAD and self.local(finger.tip_m, flap)[0] < start + 0.008 and aligned:
            return self._step(finger, flap, (start, aside, low))
        return self._over(finger, flap, (start, aside, max(edge_z, 0.3 * length) + CLEAR_M))

    def behind(self, finger: Finger, flap: int) -> bool:
        """Seen from the hinge, the fingertip sweeps the flap shut when it moves inwards."""
        w, _, z = self.local(finger.tip_m, flap)
        length, q = self._s.carton.flap_m[flap], float(self._s.angles_rad[flap])
        cosine, sine = math.cos(q), math.sin(q)
        if q > math.pi / 2:
            return w < length * cosine - 0.004 and z < length * sine
        over = q < LOW_RAD and w < length * cosine
        return z * cosine - w * sine > -0.002 and (over or w * cosine + z * sine < length)

    def open(self, finger: Finger, flap: int) -> list[float]:
        """Down beyond the free edge of a shut major, under it, and round with it: (6,).

        Where something lies below there is no room for a bite, and friction alone lifts the edge.
        """
        s, length, q = self._s, self._s.carton.flap_m[flap], float(self._s.angles_rad[flap])
        w, v, z = self.local(finger.tip_m, flap)
        edge_w, edge_z = length * math.cos(q), length * math.sin(q)
        aside, supported = self._gap(flap)
        other_upright = 0.4 < s.angles_rad[LEFT + RIGHT - flap] < 1.8  # in the way of a leaning hand
        pitch = STEEP_RAD if supported or other_upright else HOOK_RAD
        start = edge_w + FINGER_M + 0.006
        aligned = abs(v - aside) < (0.015 if q < 0.15 else s.carton.half_width_m(flap) - 0.006)
        beyond = aligned and w > edge_w + FINGER_M - 0.006
        touching, deep = w < edge_w + FINGER_M + 0.0015, z < edge_z - 0.6 * LIFT_BITE_M
        if beyond and z < edge_z + 0.003 and (touching or deep or supported):
            to_w, to_z = edge_w + FINGER_M - LIFT_INWARDS_M, self.local(finger.commanded_tip_m, flap)[2]
            if touching or q > 0.3:
                ahead = q + LIFT_LEAD_RAD
                to_w = length * math.cos(ahead) + FINGER_M - LIFT_INWARDS_M
                to_z = length * math.sin(ahead) - LIFT_BITE_M + _droop_m(finger)
            return self._step(finger, flap, (to_w, aside, to_z), SWEEP_STRIDE_M, pitch)
        if beyond and w < start + 0.010:
            return self._step(finger, flap, (start, aside, edge_z - LIFT_BITE_M), SWEEP_STRIDE_M, pitch)
        return self._over(finger, flap, (start, aside, edge_z + CLEAR_M), pitch)

    def beneath(self, finger: Finger, flap: int) -> bool:
        """The fingertip is where it is when `open` has lifted the flap."""
        w, v, z = self.local(finger.tip_m, flap)
        q, length = float(self._s.angles_rad[flap]), self._s.carton.flap_m[flap]
        along, above = w * math.cos(q) + z * math.sin(q), z * math.cos(q) - w * math.sin(q)
        inside = -0.030 < above < 0.0 and 0.3 < along / length < 1.3
        return inside and abs(v) < self._s.carton.half_width_m(flap)

    def pressing(self, finger: Finger, flap: int) -> bool:
        """The fingertip is on a flap, or just above it."""
        w, v, z = self.local(finger.tip_m, flap)
        q, length = float(self._s.angles_rad[flap]), self._s.carton.flap_m[flap]
        along, above = w * math.cos(q) + z * math.sin(q), z * math.cos(q) - w * math.sin(q)
        inside = -0.010 < above < ABOVE_M and 0.0 < along / length < 1.1
        return inside and abs(v) < self._s.carton.half_width_m(flap)

    def _gap(self, flap: int) -> tuple[float, bool]:
        """Where along the edge of a shut major a finger gets below it; whether something lies there."""
        s = self._s
        near, far, other = (bool(s.angles_rad[f] < 0.6) for f in (NEAR, FAR, LEFT + RIGHT - flap))
        if near == far:
            return 0.0, near or other
        to_far = -1.0 if flap == RIGHT else 1.0  # the direction of v
        return (to_far if near else -to_far) * 0.2 * s.carton.size_m[0], other

    def withdraw(self, finger: Finger) -> list[float]:
        """Straight up until clear of every flap on the way, then home: (6,)."""
        (x, y, z), home = finger.commanded_tip_m.tolist(), HOME_TIP_M[finger.side]
        away = math.dist((x, y), home[:2])
        if math.dist((x, y, z), home) < 0.004:
            return finger.commanded_rad
        rim = self._s.origin_m[2] + self._s.carton.size_m[2]
        high = max(rim + 0.030, self._clearance_m(finger.tip_m, np.array(home), None))
        if away > 0.06 and finger.tip_m[2] < high - 0.008:
            up = x, y, high + 0.004 + _droop_m(finger)
            return finger_towards(finger, Reach(up, 1.3, finger.commanded_opening_yaw_rad), STRIDE_M)
        over = home[0], home[1], high if away > 0.06 else home[2]
        return finger_towards(finger, Reach(over, HOME_PITCH_RAD, MAJOR_OPENING_RAD), STRIDE_M)

    # ------------------------------------------------------------------------------------------- geometry

    def local(self, tip_m: NDArray[np.float64], flap: int) -> tuple[float, float, float]:
        """(w, v, z) of a place in the frame of a hinge."""
        x, y, z = (tip_m - self._s.hinges_m[flap]).tolist()
        inward_x, inward_y, _ = self._s.inward[flap].tolist()
        return x * inward_x + y * inward_y, y * inward_x - x * inward_y, z

    def _world(self, flap: int, place: tuple[float, float, float]) -> NDArray[np.float64]:
        w, v, z = place
        inward_x, inward_y, _ = self._s.inward[flap].tolist()
        return self._s.hinges_m[flap] + np.array(
            [w * inward_x - v * inward_y, w * inward_y + v * inward_x, z]
        )

    def _step(
        self,
        finger: Finger,
        flap: int,
        place: tuple[float, float, float],
        stride_m: float = STRIDE_M,
        pitch_rad: float | None = None,
    ) -> list[float]:
        """One step of the commanded tip towards (w, v, z)."""
        x, y, z = self._world(flap, place).tolist()
        opening = MINOR_OPENING_RAD[finger.side] if flap in MINORS else MAJOR_OPENING_RAD
        pitch = PITCH_RAD[flap] if pitch_rad is None else pitch_rad
        return finger_towards(finger, Reach((x, y, z), pitch, opening + self._s.layout.yaw_rad), stride_m)

    def _over(
        self, finger: Finger, flap: int, place: tuple[float, float, float], pitch_rad: float | None = None
    ) -> list[float]:
        """Above a place: first high enough for the way there, then across."""
        w, v, z = place
        passing = self._clearance_m(finger.tip_m, self._world(flap, place), flap)
        high = max(z, passing - float(self._s.hinges_m[flap][2]))
        if self.local(finger.tip_m, flap)[2] > high - 0.008:
            return self._step(finger, flap, (w, v, high), STRIDE_M, pitch_rad)
        w, v, _ = self.local(finger.commanded_tip_m, flap)
        return self._step(finger, flap, (w, v, high + 0.004 + _droop_m(finger)), STRIDE_M, pitch_rad)

    def _clearance_m(self, start: NDArray[np.float64], end: NDArray[np.float64], but: int | None) -> float:
        """Height (world) at which a fingertip passes over every flap but one between two places."""
        s, height = self._s, 0.0
        from_x, from_y, way_x, way_y = start[0], start[1], end[0] - start[0], end[1] - start[1]
        squared = max(way_x**2 + way_y**2, 1e-9)
        for flap, (edge_x, edge_y, edge_z) in enumerate(s.edges_m.tolist()):
            if flap == but:
                continue
            inward_x, inward_y, _ = s.inward[flap].tolist()
            for half in (-s.carton.half_width_m(flap), 0.0, s.carton.half_width_m(flap)):
                x, y = edge_x - inward_y * half - from_x, edge_y + inward_x * half - from_y
                part = min(max((x * way_x + y * way_y) / squared, 0.0), 1.0)
                if math.hypot(x - part * way_x, y - part * way_y) < CORRIDOR_M:
                    height = max(height, edge_z + CLEAR_M)
        return height


def _droop_m(finger: Finger) -> float:
    """What a rising arm has to be commanded beyond its way-point to get there."""
    lag = float(finger.commanded_tip_m[2] - finger.tip_m[2])
    return min(max(DROOP_SHARE * lag, 0.0), DROOP_LIMIT_M)

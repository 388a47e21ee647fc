"""The scripted expert of ``box/close``: demonstrator and intervening human.

It remembers nothing. Whether a flap has been folded for good can be read off its crease: one that was once
pressed flat comes to rest at most its yield angle above that. From the creases follows which flap is due, and
which major, shut too early, has to be opened first; from where the fingertip is seen from that flap's hinge
follows the move: over it, behind it, sweep it round, press.

In a hinge's frame ``w`` points into the opening, ``v`` along the hinge, ``z`` up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Assessment
from sop_envs.carton import FAR, FLAPS, LEFT, MAJORS, MINORS, NEAR, RIGHT
from sop_envs.experts.bimanual import Arm, Reach
from sop_envs.tasks.box_close_scene import HOME_PITCH_RAD, HOME_TIP_M

if TYPE_CHECKING:
    from sop_envs.tasks.box_close import BoxCloseSituation

STRIDE_M, SWEEP_STRIDE_M = 0.030, 0.014
FINGER_M = 0.011  # half the thickness of the closed fingers across a hinge, and a little
PRESSED_RAD = 0.02  # a flap that has been below this is folded for good
OPEN_REST_RAD, OPEN_RAD, WIDE_REST_RAD = 1.50, 1.45, 1.75  # a major lets fingers and minors pass when its crease rests beyond
SWEEP_SHARE, SWEEP_LEAD_RAD, PRESS_RAD = 0.72, 0.60, -0.25
LIFT_LEAD_RAD, LIFT_INWARDS_M, LIFT_BITE_M = 0.50, 0.012, 0.016
HOOK_RAD, STEEP_RAD = 1.0, 1.5  # leaning fingers get under an edge; upright ones meet one on a support
DROOP_SHARE, DROOP_LIMIT_M = 0.8, 0.040  # made up for when rising
CLEAR_M, CORRIDOR_M = 0.018, 0.035  # above flaps that are passed over; how near to the way they count

CLOSER = {NEAR: "right", FAR: "left", RIGHT: "right", LEFT: "left"}
OPENER = {RIGHT: "left", LEFT: "right"}
ASIDE_M = {NEAR: -0.020, FAR: -0.020, RIGHT: 0.0, LEFT: 0.0}
PITCH_RAD = {NEAR: 1.30, FAR: 1.25, RIGHT: 1.40, LEFT: 1.40}
MINOR_OPENING_RAD = {"left": -math.pi / 2, "right": math.pi / 2}  # keeps either hand between the majors
MAJOR_OPENING_RAD = {"left": 0.0, "right": 0.0}  # keeps the hand away from the base


@dataclass(frozen=True)
class Job:
    """What one arm is to do with one flap."""

    flap: int
    opens: bool = False


class BoxCloseExpert:
    """Implements `Expert` on the privileged measurements of a situation."""

    def __init__(self, situation: BoxCloseSituation) -> None:
        self._s = situation

    def act(self) -> NDArray[np.float32]:
        action = self._s.data.ctrl.astype(np.float32)
        jobs = self.jobs()
        for side, arm in self._s.arms.items():
            job = jobs.get(side)
            if job is None:
                action[arm.joints] = self._withdraw(arm)
            else:
                action[arm.joints] = self._open(arm, job.flap) if job.opens else self._close(arm, job.flap)
        return action

    # -------------------------------------------------------------------------------------------- deciding

    def folded(self, flap: int) -> bool:
        """Has been pressed flat, and not been lifted since."""
        s = self._s
        return bool(s.rest_rad[flap] <= s.carton.yield_rad[flap] + PRESSED_RAD)

    def _in_the_way(self, flap: int) -> bool:
        s = self._s
        if s.rest_rad[flap] < OPEN_REST_RAD or s.angles_rad[flap] < OPEN_RAD:
            return True
        return bool(s.rest_rad[flap] < WIDE_REST_RAD and self._lifting(flap))

    def _lifting(self, flap: int) -> bool:
        """The fingers that opened this major are still below it: they may as well open it wide."""
        s, q = self._s, float(self._s.angles_rad[flap])
        w, v, z = self._local(s.arms[OPENER[flap]].tip_m, flap)
        along, above = w * math.cos(q) + z * math.sin(q), z * math.cos(q) - w * math.sin(q)
        inside = -0.030 < above < 0.0 and 0.3 < along / s.carton.flap_m[flap] < 1.3
        return inside and abs(v) < s.carton.half_width_m(flap)

    def jobs(self) -> dict[str, Job]:
        """The job of each arm, by side; an arm without one withdraws."""
        s = self._s
        if s.latched:
            return {}
        minors = [flap for flap in MINORS if not self.folded(flap)]
        shut = [flap for flap in MAJORS if self._in_the_way(flap)]
        left_on_top = s.flaps.left_is_on_top()
        if minors:
            if not shut:
                return {CLOSER[flap]: Job(flap) for flap in minors}
            top = LEFT if LEFT in shut and (left_on_top or RIGHT not in shut) else RIGHT
            return {OPENER[top]: Job(top, opens=True)}
        if LEFT in shut and not left_on_top and RIGHT in shut and s.angles_rad[LEFT] < 0.6:
            return {OPENER[RIGHT]: Job(RIGHT, opens=True)}
        if not self.folded(RIGHT):
            if LEFT in shut:
                return {OPENER[LEFT]: Job(LEFT, opens=True)}
            return {CLOSER[RIGHT]: Job(RIGHT)}
        return {CLOSER[LEFT]: Job(LEFT)}

    def due_flags(self) -> list[float]:
        """Which flap is due, and whether to be opened: (5,)."""
        jobs = list(self.jobs().values())
        due = [float(any(job.flap == flap for job in jobs)) for flap in range(len(FLAPS))]
        return [*due, float(any(job.opens for job in jobs))]

    # -------------------------------------------------------------------------------------------- moving

    def _local(self, tip_m: NDArray[np.float64], flap: int) -> tuple[float, float, float]:
        offset, inward = tip_m - self._s.hinges_m[flap], self._s.inward[flap]
        w = float(offset @ inward)
        return w, float(offset[1] * inward[0] - offset[0] * inward[1]), float(offset[2])

    def _world(self, flap: int, w: float, v: float, z: float) -> NDArray[np.float64]:
        inward = self._s.inward[flap]
        along = np.array([-inward[1], inward[0], 0.0])
        return self._s.hinges_m[flap] + w * inward + v * along + np.array([0.0, 0.0, z])

    def _towards(
        self, arm: Arm, flap: int, w: float, v: float, z: float, stride_m: float = STRIDE_M,
        pitch_rad: float | None = None,
    ) -> NDArray[np.float64]:
        x, y, height = self._world(flap, w, v, z).tolist()
        s = self._s
        opening = (MINOR_OPENING_RAD if flap in MINORS else MAJOR_OPENING_RAD)[arm.side] + s.layout.yaw_rad
        return arm.towards(Reach((x, y, height), PITCH_RAD[flap] if pitch_rad is None else pitch_rad, opening), stride_m)

    def _close(self, arm: Arm, flap: int) -> NDArray[np.float64]:
        s, length, q = self._s, self._s.carton.flap_m[flap], float(self._s.angles_rad[flap])
        w, v, z = self._local(arm.tip_m, flap)
        aside, cosine, sine = ASIDE_M[flap], math.cos(q), math.sin(q)
        edge_w, edge_z = length * cosine, length * sine
        low = min(0.45 * length, 0.5 * edge_z) if q > math.pi / 2 else 0.45 * length
        aligned = abs(v - aside) < s.carton.half_width_m(flap) - 0.004
        along, above = w * cosine + z * sine, z * cosine - w * sine
        if q > math.pi / 2:
            behind = w < edge_w - 0.004 and z < edge_z
        else:
            behind = above > -0.002 and along < length
        if behind and aligned:
            if q > 1.6:
                return self._towards(arm, flap, edge_w - FINGER_M + 0.03, aside, low, SWEEP_STRIDE_M)
            ahead = max(q - SWEEP_LEAD_RAD, PRESS_RAD)
            radius = SWEEP_SHARE * length
            return self._towards(
                arm, flap, radius * math.cos(ahead), aside, radius * math.sin(ahead), SWEEP_STRIDE_M
            )
        high = length * max(sine, 0.3) + CLEAR_M
        start = SWEEP_SHARE * edge_w if q < 0.9 else min(edge_w, 0.0) - FINGER_M - 0.014
        if q >= 0.9 and w < start + 0.008 and aligned:
            return self._towards(arm, flap, start, aside, low)
        return self._over(arm, flap, start, aside, high)

    def _over(
        self, arm: Arm, flap: int, w: float, v: float, z: float, pitch_rad: float | None = None
    ) -> NDArray[np.float64]:
        """Above a place: first high enough for the way there, then across."""
        at = self._world(flap, w, v, z)
        high = max(z, self._clearance_m(arm.tip_m, at, flap) - self._s.hinges_m[flap][2])
        if self._local(arm.tip_m, flap)[2] > high - 0.008:
            return self._towards(arm, flap, w, v, high, STRIDE_M, pitch_rad)
        w, v, _ = self._local(arm.commanded_tip_m, flap)
        return self._towards(arm, flap, w, v, high + 0.004 + self._droop_m(arm), STRIDE_M, pitch_rad)

    def _droop_m(self, arm: Arm) -> float:
        lag = float(arm.commanded_tip_m[2] - arm.tip_m[2])
        return min(max(DROOP_SHARE * lag, 0.0), DROOP_LIMIT_M)

    def _clearance_m(self, start: NDArray[np.float64], end: NDArray[np.float64], but: int | None) -> float:
        """Height (world) at which a fingertip passes over every flap between two places."""
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

    def _close(self, arm: Arm, flap: int) -> NDArray[np.float64]:
        s, length, q = self._s, self._s.carton.flap_m[flap], float(self._s.angles_rad[flap])
        w, v, z = self._local(arm.tip_m, flap)
        aside, cosine, sine = ASIDE_M[flap], math.cos(q), math.sin(q)
        edge_w, edge_z = length * cosine, length * sine
        low = min(0.45 * length, 0.5 * edge_z) if q > math.pi / 2 else 0.45 * length
        aligned = abs(v - aside) < s.carton.half_width_m(flap) - 0.004
        along, above = w * cosine + z * sine, z * cosine - w * sine
        if q > math.pi / 2:
            behind = w < edge_w - 0.004 and z < edge_z
        else:
            behind = above > -0.002 and along < length
        if behind and aligned:
            if q > 1.6:
                return self._towards(arm, flap, edge_w - FINGER_M + 0.03, aside, low, SWEEP_STRIDE_M)
            ahead = max(q - SWEEP_LEAD_RAD, PRESS_RAD)
            radius = SWEEP_SHARE * length
            return self._towards(
                arm, flap, radius * math.cos(ahead), aside, radius * math.sin(ahead), SWEEP_STRIDE_M
            )
        high = length * max(sine, 0.3) + CLEAR_M
        start = SWEEP_SHARE * edge_w if q < 0.9 else min(edge_w, 0.0) - FINGER_M - 0.014
        if q >= 0.9 and w < start + 0.008 and aligned:
            return self._towards(arm, flap, start, aside, low)
        return self._over(arm, flap, start, aside, high)

    def _over(
        self, arm: Arm, flap: int, w: float, v: float, z: float, pitch_rad: float | None = None
    ) -> NDArray[np.float64]:
        """Above a place: first high enough for the way there, then across."""
        at = self._world(flap, w, v, z)
        high = max(z, self._clearance_m(arm.tip_m, at, flap) - self._s.hinges_m[flap][2])
        if self._local(arm.tip_m, flap)[2] > high - 0.008:
            return self._towards(arm, flap, w, v, high, STRIDE_M, pitch_rad)
        w, v, _ = self._local(arm.commanded_tip_m, flap)
        return self._towards(arm, flap, w, v, high + 0.004 + self._droop_m(arm), STRIDE_M, pitch_rad)

    def _droop_m(self, arm: Arm) -> float:
        lag = float(arm.commanded_tip_m[2] - arm.tip_m[2])
        return min(max(DROOP_SHARE * lag, 0.0), DROOP_LIMIT_M)

    def _clearance_m(self, start: NDArray[np.float64], end: NDArray[np.float64], but: int | None) -> float:
        """Height (world) at which a fingertip passes over every flap between two places."""
        s, height = self._s, 0.0
        edges, way = s.edges_m, end[:2] - start[:2]
        for flap in range(len(FLAPS)):
            if flap == but:
                continue
            along = np.array([-s.inward[flap][1], s.inward[flap][0]]) * s.carton.half_width_m(flap)
            for share in (-1.0, 0.0, 1.0):
                place = edges[flap][:2] + share * along
                part = float(np.clip((place - start[:2]) @ way / max(float(way @ way), 1e-9), 0.0, 1.0))
                if math.dist(place, start[:2] + part * way) < CORRIDOR_M:
                    height = max(height, float(edges[flap][2]) + CLEAR_M)
        return height

    def _open(self, arm: Arm, flap: int) -> NDArray[np.float64]:
        """Catch the free edge from beyond it, and follow it round.

        Where the other major lies below, there is no room for a bite: the edge is lifted by friction alone.
        """
        s, length, q = self._s, self._s.carton.flap_m[flap], float(self._s.angles_rad[flap])
        w, v, z = self._local(arm.tip_m, flap)
        edge_w, edge_z = length * math.cos(q), length * math.sin(q)
        aside, supported = self._gap(flap)
        upright = 0.4 < s.angles_rad[LEFT + RIGHT - flap] < 1.8  # the other major, in the way of a leaning hand
        pitch = STEEP_RAD if supported or upright else HOOK_RAD
        aligned = abs(v - aside) < (0.015 if q < 0.15 else s.carton.half_width_m(flap) - 0.006)
        beyond = w > edge_w + FINGER_M - 0.006
        start, high = edge_w + FINGER_M + 0.006, edge_z + CLEAR_M
        touching, deep = w < edge_w + FINGER_M + 0.0015, z < edge_z - 0.6 * LIFT_BITE_M
        if beyond and aligned and z < edge_z + 0.003 and (touching or deep or supported):
            if touching or q > 0.3:
                ahead = q + LIFT_LEAD_RAD
                across = length * math.cos(ahead) + FINGER_M - LIFT_INWARDS_M
                up = length * math.sin(ahead) - LIFT_BITE_M + self._droop_m(arm)
            else:
                across = edge_w + FINGER_M - LIFT_INWARDS_M
                up = self._local(arm.commanded_tip_m, flap)[2]
            return self._towards(arm, flap, across, aside, up, SWEEP_STRIDE_M, pitch)
        if aligned and beyond and w < start + 0.010:
            return self._towards(arm, flap, start, aside, edge_z - LIFT_BITE_M, SWEEP_STRIDE_M, pitch)
        return self._over(arm, flap, start, aside, high, pitch)

    def _gap(self, flap: int) -> tuple[float, bool]:
        """Where along the free edge of a shut major a finger gets below it, and whether something is there."""
        s = self._s
        near, far, other = (bool(s.angles_rad[f] < 0.6) for f in (NEAR, FAR, LEFT + RIGHT - flap))
        if near == far:
            return 0.0, near or other
        to_far = -1.0 if flap == RIGHT else 1.0  # the direction of v
        return (to_far if near else -to_far) * 0.2 * s.carton.size_m[0], other

    def _withdraw(self, arm: Arm) -> NDArray[np.float64]:
        """Straight up until clear of every flap on the way, then home."""
        x, y, z = arm.commanded_tip_m.tolist()
        home = HOME_TIP_M[arm.side]
        away = math.dist((x, y), home[:2])
        if math.dist((x, y, z), home) < 0.004:
            return np.array(arm.commanded_rad)
        rim = self._s.origin_m[2] + self._s.carton.size_m[2]
        high = max(rim + 0.030, self._clearance_m(arm.tip_m, np.array(home), None))
        if away > 0.06 and arm.tip_m[2] < high - 0.008:
            return arm.towards(Reach((x, y, high + 0.004 + self._droop_m(arm)), 1.3, self._opening_yaw(arm)), STRIDE_M)
        up = high if away > 0.06 else home[2]
        return arm.towards(Reach((home[0], home[1], up), HOME_PITCH_RAD, MAJOR_OPENING_RAD[arm.side]), STRIDE_M)

    def _opening_yaw(self, arm: Arm) -> float:
        pan, roll = arm.commanded_rad[0], arm.commanded_rad[4]
        return pan - roll + math.pi / 2

    # ------------------------------------------------------------------------------------------- assessing

    def assess(self) -> Assessment:
        hazard = self._hazard()
        return Assessment(hazard, not hazard, True, self._progress())

    def _hazard(self) -> str:
        jobs = self.jobs().values()
        if any(job.opens for job in jobs):
            return "wrong order"
        return ""

    def _progress(self) -> float:
        s = self._s
        if s.latched:
            return 1.0
        share = 0.0
        for flap in range(len(FLAPS)):
            share += 0.22 if self.folded(flap) else 0.2 * max(0.0, 1 - s.angles_rad[flap] / 2.5)
        return min(0.95, share)

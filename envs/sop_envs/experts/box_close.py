"""The scripted expert of ``box/close``: demonstrator and intervening human.

It remembers nothing; the carton does: a crease comes to rest where the flap was pressed to, plus its yield. A
finger at a flap presses it flat; a flap that lies low enough, if not flat, is left to the flaps that will lie
on it, which is what a person does, and what a policy can see. From that follows which flap is due, and which
major, shut too early, has to be opened first; how is in `sop_envs.experts.flap_moves`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Assessment
from sop_envs.carton import FAR, FLAPS, LEFT, MAJORS, MINORS, NEAR, RIGHT
from sop_envs.experts.flap_moves import CLEAR_M, FlapMoves

if TYPE_CHECKING:
    from sop_envs.tasks.box_close import BoxCloseSituation

PRESSED_RAD = 0.02  # a flap that has been below this is folded for good
LOW_REST_RAD = 0.60  # one that rests below this is pressed flat by what is folded over it
SHUT_REST_RAD, SHUT_RAD = 1.50, 1.45  # a major lets minors and fingers pass if crease and flap are beyond
WIDE_REST_RAD = 1.75  # how far one is opened
BENT_BACK_RAD = 2.55
SHARES = (0.20, 0.20, 0.25, 0.30)  # of the flaps in the progress

CLOSER = {NEAR: "right", FAR: "left", RIGHT: "right", LEFT: "left"}
OPENER = {RIGHT: "left", LEFT: "right"}  # fingers lean away from their base, and so under the edge


@dataclass(frozen=True)
class Job:
    """What one arm is to do with one flap."""

    flap: int
    opens: bool = False


class BoxCloseExpert:
    """Implements `Expert` on the privileged measurements of a situation."""

    def __init__(self, situation: BoxCloseSituation) -> None:
        self._s = situation
        self._moves = FlapMoves(situation)

    def act(self) -> NDArray[np.float32]:
        action, jobs = self._s.data.ctrl.astype(np.float32), self.jobs()
        for side, arm in self._s.arms.items():
            job = jobs.get(side)
            if job is None:
                action[arm.joints] = self._moves.withdraw(arm)
            else:
                move = self._moves.open if job.opens else self._moves.close
                action[arm.joints] = move(arm, job.flap)
        return action

    # -------------------------------------------------------------------------------------------- deciding

    def jobs(self) -> dict[str, Job]:
        """The job of each arm, by side; an arm without one withdraws."""
        s = self._s
        if s.latched:
            return {}
        minors = [flap for flap in MINORS if not self.folded(flap)]
        shut = [flap for flap in MAJORS if self._shut(flap)]
        left_on_top = s.flaps.left_is_on_top()
        if minors:
            if not shut:
                return {CLOSER[flap]: Job(flap) for flap in minors}
            top = LEFT if LEFT in shut and (left_on_top or RIGHT not in shut) else RIGHT
            return {OPENER[top]: Job(top, opens=True)}
        if len(shut) == len(MAJORS) and not left_on_top and s.angles_rad[LEFT] < 0.6:
            return {OPENER[RIGHT]: Job(RIGHT, opens=True)}
        if not self.folded(RIGHT):
            if LEFT in shut:
                return {OPENER[LEFT]: Job(LEFT, opens=True)}
            return {CLOSER[RIGHT]: Job(RIGHT)}
        return {CLOSER[LEFT]: Job(LEFT)}

    def folded(self, flap: int) -> bool:
        """Has been pressed flat and not been lifted since, or lies low, and no finger is at it."""
        s = self._s
        if s.rest_rad[flap] <= s.carton.yield_rad[flap] + PRESSED_RAD:
            return True
        return bool(s.rest_rad[flap] < LOW_REST_RAD) and not self._moves.pressing(s.arms[CLOSER[flap]], flap)

    def _shut(self, flap: int) -> bool:
        """A major that is in the way of what is below it."""
        s = self._s
        if s.rest_rad[flap] < SHUT_REST_RAD or s.angles_rad[flap] < SHUT_RAD:
            return True
        # The fingers that opened it are still below it: they may as well open it wide.
        return bool(s.rest_rad[flap] < WIDE_REST_RAD and self._moves.beneath(s.arms[OPENER[flap]], flap))

    def due_flags(self) -> list[float]:
        """Which flaps are due, and whether to be opened: (5,)."""
        jobs = list(self.jobs().values())
        due = [float(any(job.flap == flap for job in jobs)) for flap in range(len(FLAPS))]
        return [*due, float(any(job.opens for job in jobs))]

    # ------------------------------------------------------------------------------------------- assessing

    def assess(self) -> Assessment:
        """Nothing that happens to a crease is final, so every state is recoverable."""
        jobs = self.jobs()
        hazard = self._hazard(jobs)
        return Assessment(hazard, not hazard and self._placed(jobs), True, self._progress(jobs))

    def _hazard(self, jobs: dict[str, Job]) -> str:
        if any(job.opens for job in jobs.values()):
            return "wrong order"
        if self._s.angles_rad.max() > BENT_BACK_RAD:
            return "bent back"
        return ""

    def _placed(self, jobs: dict[str, Job]) -> bool:
        """Every hand is above the closed flaps, or behind the one that it is to close."""
        s = self._s
        clear_m = s.origin_m[2] + s.carton.size_m[2] + CLEAR_M
        for side, arm in s.arms.items():
            ready = side in jobs and self._moves.behind(arm, jobs[side].flap)
            if not ready and arm.tip_m[2] < clear_m:
                return False
        return True

    def _progress(self, jobs: dict[str, Job]) -> float:
        """What is folded in the right order counts; what is due counts by how nearly it is done."""
        s = self._s
        if s.latched:
            return 0.98 if s.touched else 1.0
        near, far, right = (self.folded(flap) for flap in (NEAR, FAR, RIGHT))
        counts = (near, far, near and far and right, False)
        progress = sum(share for share, counted in zip(SHARES, counts, strict=True) if counted)
        if any(job.opens for job in jobs.values()):
            opened = [min(1.0, max(0.0, s.rest_rad[flap] / WIDE_REST_RAD)) for flap in MAJORS]
            return progress + 0.02 * sum(opened)
        edges = s.edges_m
        for side, job in jobs.items():
            away = min(1.0, math.dist(s.arms[side].tip_m, edges[job.flap]) / 0.25)
            closed = 1 - min(1.0, max(0.0, float(s.angles_rad[job.flap]) / 2.4))
            progress += SHARES[job.flap] * (0.2 + 0.2 * (1 - away) + 0.55 * closed)
        return progress

"""The summary of a scaling study: the numbers a reader quotes, computed from records alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sop_bench.errors import CorruptDataError
from sop_bench.studies.records import CONTROL, Records
from sop_bench.studies.stats import (
    RESAMPLES,
    Interval,
    Resampling,
    at_least_wilson,
    curve_band,
    finite,
    minimum_detectable_effect,
)
from sop_bench.studies.time_to_target import TimeToTarget, scaling

_BOOTSTRAP_SEED = 20260103  # any constant: the same records always give the same intervals


@dataclass(frozen=True)
class Cell:
    """One fleet size, all seeds together.

    Attributes:
        success_end: Success at the end of the study.
        time_to_target_s, speedup: As defined in `sop_bench.studies.time_to_target`.
        robot_minutes_to_target: Fleet size times the time to target; a lower bound if seeds are censored.
        operator_minutes: Attention charged over the whole study, mean over seeds.
    """

    robots: int
    success_end: Interval
    time_to_target_s: TimeToTarget
    speedup: Interval
    robot_minutes_to_target: float
    operator_minutes: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "robots": self.robots,
            "success_end": self.success_end.as_dict(),
            "time_to_target_s": self.time_to_target_s.as_dict(),
            "speedup": self.speedup.as_dict(),
            "robot_minutes_to_target": finite(self.robot_minutes_to_target),
            "operator_minutes": finite(self.operator_minutes),
        }


@dataclass(frozen=True)
class Summary:
    """A whole study.

    Attributes:
        curves: Fleet size to one interval per evaluation time (`CONTROL` for the control), for figures.
        task_success_end: Of a study of several tasks: task to fleet size to success at the end.
        minimum_detectable_effect: Smallest rise above the target's rate that two arms would show.
    """

    profile: str
    target: float
    seeds: list[int]
    times_s: tuple[float, ...]
    scenes: int
    pretrained_success: Interval
    control_success_end: Interval
    cells: tuple[Cell, ...]
    curves: Mapping[int, list[Interval]]
    minimum_detectable_effect: float
    task_success_end: Mapping[str, Mapping[int, Interval]] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        return self.times_s[-1]

    def as_dict(self) -> dict[str, Any]:
        """The content of ``summary.json``."""
        return {
            "profile": self.profile,
            "target": self.target,
            "duration_s": self.duration_s,
            "evaluation_scenes": self.scenes,
            "minimum_detectable_effect": finite(self.minimum_detectable_effect),
            "seeds": self.seeds,
            "pretrained_success": self.pretrained_success.as_dict(),
            "control_success_end": self.control_success_end.as_dict(),
            "cells": [cell.as_dict() for cell in self.cells],
            **({"tasks": self._tasks()} if self.task_success_end else {}),
        }

    def _tasks(self) -> list[dict[str, Any]]:
        return [
            {"task": task, "robots": robots, "success_end": success.as_dict()}
            for task, by_fleet in self.task_success_end.items()
            for robots, success in by_fleet.items()
        ]


def summarise(records: Records, *, target: float, profile: str = "", resamples: int = RESAMPLES) -> Summary:
    """Reduce `records` to a `Summary`; the smallest fleet is the baseline of the speed-up.

    Raises:
        CorruptDataError: Some evaluation is missing.
    """
    fleets = {n: records.outcomes(n) for n in records.fleets}
    if not fleets:
        raise CorruptDataError("The records hold no fleet, only a control. Run the study again.")
    seeds, _, scenes = next(iter(fleets.values())).shape
    rng = np.random.default_rng(_BOOTSTRAP_SEED)
    resampling = Resampling.draw(seeds, scenes, rng, resamples)
    arms = {CONTROL: records.outcomes(CONTROL), **fleets}
    curves = {n: at_least_wilson(curve_band(o, resampling), o) for n, o in arms.items()}
    found = scaling(records.times_s, fleets, target, resampling, baseline=min(fleets))
    cells = tuple(
        Cell(
            robots=n,
            success_end=curves[n][-1],
            time_to_target_s=gained.time_to_target_s,
            speedup=gained.speedup,
            robot_minutes_to_target=n * gained.time_to_target_s.interval.mean / 60,
            operator_minutes=records.operator_minutes(n),
        )
        for n, gained in sorted(found.items())
    )
    return Summary(
        profile=profile,
        target=target,
        seeds=records.seeds,
        times_s=tuple(float(t) for t in records.times_s),
        scenes=scenes,
        pretrained_success=curves[CONTROL][0],
        control_success_end=curves[CONTROL][-1],
        cells=cells,
        curves=curves,
        minimum_detectable_effect=minimum_detectable_effect(scenes * seeds, target),
        task_success_end={
            task: {n: _end(records.only([task]), n, resamples) for n in arms}
            for task in (records.tasks if len(records.tasks) > 1 else ())
        },
    )


def _end(records: Records, robots: int, resamples: int) -> Interval:
    """Success of a fleet at the end, on the scenes that `records` hold."""
    outcomes = records.outcomes(robots)[:, -1:]
    seeds, _, scenes = outcomes.shape
    resampling = Resampling.draw(seeds, scenes, np.random.default_rng(_BOOTSTRAP_SEED), resamples)
    return at_least_wilson(curve_band(outcomes, resampling), outcomes)[0]

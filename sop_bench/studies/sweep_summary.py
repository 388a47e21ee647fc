"""The summary of a sweep over pretraining data: success before and after SOP, from records alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from sop_bench.errors import ConfigurationError, CorruptDataError
from sop_bench.studies.compare_summary import Contrast
from sop_bench.studies.fleet_study import scopes
from sop_bench.studies.records import Records
from sop_bench.studies.stats import (
    RESAMPLES,
    Interval,
    Resampling,
    at_least_wilson,
    curve_band,
    difference,
)

FULL = "full"
BEFORE, AFTER = 0, -1  # of the evaluation times

_BOOTSTRAP_SEED = 20260103  # any constant: the same records always give the same intervals


def scale_of(name: str) -> Fraction:
    """The share of the data that an arm's name stands for, e.g. ``1/8``; ``full`` is 1.

    Raises:
        ConfigurationError: It is no fraction.
    """
    try:
        return Fraction(1) if name == FULL else Fraction(name)
    except (ValueError, ZeroDivisionError):
        raise ConfigurationError(
            f"{name!r} is no fraction of the demonstrations; allowed: such as 1/8, 1/2 or full."
        ) from None


@dataclass(frozen=True)
class ScaleResult:
    """One pretraining scale.

    Attributes:
        before, after: Success of the pretrained policy, and at the end of the SOP run.
        gain: After minus before, on the same seeds and scenes.
        curve: One interval per evaluation time; for figures.
    """

    name: str
    before: Interval
    after: Interval
    gain: Interval
    curve: list[Interval]

    def as_dict(self) -> dict[str, Any]:
        return {
            "fraction": self.name,
            "success_before": self.before.as_dict(),
            "success_after": self.after.as_dict(),
            "gain": self.gain.as_dict(),
        }


@dataclass(frozen=True)
class Scope:
    """Results of a family, a task, or all tasks.

    Attributes:
        scales: By pretraining scale, smallest first.
        before, after: Each scale against the next larger one.
    """

    name: str
    tasks: tuple[str, ...]
    scales: tuple[ScaleResult, ...]
    before: tuple[Contrast, ...]
    after: tuple[Contrast, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "scope": self.name,
            "tasks": list(self.tasks),
            "scales": [scale.as_dict() for scale in self.scales],
            "order_kept_before": _rising([scale.before for scale in self.scales]),
            "order_kept_after": _rising([scale.after for scale in self.scales]),
            "contrasts_before": [contrast.as_dict() for contrast in self.before],
            "contrasts_after": [contrast.as_dict() for contrast in self.after],
        }


def _rising(rates: list[Interval]) -> bool:
    """Whether larger scales have higher means: what was found, not that it is significant."""
    return all(a.mean < b.mean for a, b in pairwise(rates))


@dataclass(frozen=True)
class Sweep:
    """A whole study; `scopes` as in a comparison.

    Attributes:
        demonstrations, robot_minutes: What each scale was pretrained on, by its name.
        operator_minutes: Attention charged in the SOP run of each scale, mean over seeds.
    """

    seeds: list[int]
    robots: int
    times_s: tuple[float, ...]
    scenes_per_task: int
    demonstrations: Mapping[str, int]
    robot_minutes: Mapping[str, float]
    operator_minutes: Mapping[str, float]
    scopes: tuple[Scope, ...]

    @property
    def whole(self) -> Scope:
        """The scope of all tasks: the one family if there is only one."""
        return max(self.scopes, key=lambda scope: len(scope.tasks))

    @property
    def duration_s(self) -> float:
        return self.times_s[-1]

    def as_dict(self) -> dict[str, Any]:
        """The content of ``summary.json``; `scales` at its top is over all tasks."""
        return {
            "seeds": self.seeds,
            "robots": self.robots,
            "duration_s": self.duration_s,
            "evaluation_scenes_per_task": self.scenes_per_task,
            "scales": [
                {
                    **scale.as_dict(),
                    "demonstrations": self.demonstrations[scale.name],
                    "demonstration_minutes": self.robot_minutes[scale.name],
                    "operator_minutes": self.operator_minutes[scale.name],
                }
                for scale in self.whole.scales
            ],
            "scopes": [scope.as_dict() for scope in self.scopes],
        }


def summarise(
    records: Records,
    pretraining: pd.DataFrame,
    *,
    tasks: tuple[str, ...],
    robots: int,
    resamples: int = RESAMPLES,
) -> Sweep:
    """Reduce `records` to a `Sweep`.

    Args:
        pretraining: One row per arm: arm, demonstrations, robot_minutes.
        tasks: In the order of the study.
        robots: Fleet size.

    Raises:
        CorruptDataError: Some evaluation is missing, or an arm that `pretraining` does not know.
    """
    rows = {str(row["arm"]): row for row in pretraining.to_dict("records")}
    arms = sorted(records.arms, key=scale_of)
    if unknown := [arm for arm in arms if arm not in rows]:
        raise CorruptDataError(
            f"The records hold {unknown}, of whose pretraining nothing is known. Run the study again."
        )
    return Sweep(
        seeds=records.seeds,
        robots=robots,
        times_s=tuple(float(t) for t in records.times_s),
        scenes_per_task=len(records.scenes) // len(tasks),
        demonstrations={arm: int(rows[arm]["demonstrations"]) for arm in arms},
        robot_minutes={arm: float(rows[arm]["robot_minutes"]) for arm in arms},
        operator_minutes={arm: records.operator_minutes(arm) for arm in arms},
        scopes=tuple(
            _scope(name, members, arms, records.only(members), resamples)
            for name, members in scopes(tasks).items()
        ),
    )


def _scope(name: str, tasks: tuple[str, ...], arms: list[str], records: Records, resamples: int) -> Scope:
    solved = {arm: records.outcomes(arm) for arm in arms}  # (seeds, times, scenes)
    seeds, _, scenes = solved[arms[0]].shape
    resampling = Resampling.draw(seeds, scenes, np.random.default_rng(_BOOTSTRAP_SEED), resamples)
    scales = []
    for arm, outcomes in solved.items():
        curve = at_least_wilson(curve_band(outcomes, resampling), outcomes)
        gain = difference(outcomes[:, BEFORE], outcomes[:, AFTER], resampling)
        scales.append(ScaleResult(arm, curve[BEFORE], curve[AFTER], gain, curve))

    def neighbours(time: int) -> tuple[Contrast, ...]:
        return tuple(
            Contrast.of((a, b), solved[a][:, time], solved[b][:, time], resampling) for a, b in pairwise(arms)
        )

    return Scope(name, tasks, tuple(scales), neighbours(BEFORE), neighbours(AFTER))

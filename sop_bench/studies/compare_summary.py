"""The summary of a comparison: success, throughput, differences and budgets, from records alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import CorruptDataError
from sop_bench.studies.fleet_study import scopes
from sop_bench.studies.records import Records, column
from sop_bench.studies.stats import (
    RESAMPLES,
    Interval,
    PairedTest,
    Resampling,
    at_least_wilson,
    curve_band,
    difference,
    finite,
    paired_test,
    per_hour,
)

PRETRAINED, CONTROL_ARM, ROUNDS, SOP = "pretrained", "control", "rounds", "sop"
ARMS = (PRETRAINED, CONTROL_ARM, ROUNDS, SOP)

_BOOTSTRAP_SEED = 20260103  # any constant: the same records always give the same intervals


@dataclass(frozen=True)
class ArmResult:
    """One arm at the end of the study, alone on unseen scenes; definitions in `sop_bench.studies.stats`.

    Attributes:
        success: Whole episodes without help.
        terminated_per_hour, successes_per_hour: Throughput as SOP and as RECAP count it, without resets.
        terminated_per_hour_with_resets, successes_per_hour_with_resets: The same with the reset before each.
    """

    success: Interval
    terminated_per_hour: Interval
    successes_per_hour: Interval
    terminated_per_hour_with_resets: Interval
    successes_per_hour_with_resets: Interval

    def as_dict(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name).as_dict() for field in fields(self)}


@dataclass(frozen=True)
class Contrast:
    """Two arms on the same seeds and scenes.

    Attributes:
        difference: Success of the second minus that of the first, resampled over seeds and scenes.
        test: McNemar's, over all pairs of seed and scene as if they were independent.
    """

    first: str
    second: str
    difference: Interval
    test: PairedTest

    @classmethod
    def of(
        cls, names: tuple[str, str], first: NDArray[Any], second: NDArray[Any], resampling: Resampling
    ) -> Contrast:
        """From the outcomes (seeds, scenes) of both."""
        test = paired_test(first.ravel(), second.ravel())
        return cls(*names, difference(first, second, resampling), test)

    def as_dict(self) -> dict[str, Any]:
        return {
            "first": self.first,
            "second": self.second,
            "difference": self.difference.as_dict(),
            "only_first": self.test.only_first,
            "only_second": self.test.only_second,
            "p_value": self.test.p_value,
        }


@dataclass(frozen=True)
class Scope:
    """Results of a family, a task, or all tasks: by arm, between arms, and along the study.

    Attributes:
        curves: Arm to one interval of success per evaluation time; for figures.
    """

    name: str
    tasks: tuple[str, ...]
    arms: Mapping[str, ArmResult]
    contrasts: tuple[Contrast, ...]
    curves: Mapping[str, list[Interval]]

    def as_dict(self) -> dict[str, Any]:
        return {
            "scope": self.name,
            "tasks": list(self.tasks),
            "arms": {name: arm.as_dict() for name, arm in self.arms.items()},
            "contrasts": [contrast.as_dict() for contrast in self.contrasts],
        }


@dataclass(frozen=True)
class Budget:
    """What an arm cost, mean over seeds.

    Attributes:
        robot_hours: Of the fleet, resets included.
        episode_hours: Of these, within episodes that ended.
        operator_minutes: Attention charged.
        online_episodes, trained_frames: What was collected, and frames that were trained on.
    """

    robot_hours: float
    episode_hours: float
    operator_minutes: float
    gradient_steps: float
    online_episodes: float
    trained_frames: float

    def as_dict(self) -> dict[str, float | None]:
        return {name: finite(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Comparison:
    """A whole study; `scopes` are families, tasks of families of several, and all of several families."""

    seeds: list[int]
    robots: int
    times_s: tuple[float, ...]
    scenes_per_task: int
    scopes: tuple[Scope, ...]
    budgets: Mapping[str, Budget]

    @property
    def whole(self) -> Scope:
        """The scope of all tasks: the one family if there is only one."""
        return max(self.scopes, key=lambda scope: len(scope.tasks))

    @property
    def duration_s(self) -> float:
        return self.times_s[-1]

    def as_dict(self) -> dict[str, Any]:
        """The content of ``summary.json``; successes at its top are over all tasks."""
        success = {name: arm.success.as_dict() for name, arm in self.whole.arms.items()}
        return {
            "seeds": self.seeds,
            "robots": self.robots,
            "duration_s": self.duration_s,
            "evaluation_scenes_per_task": self.scenes_per_task,
            "pretrained_success": success[PRETRAINED],
            "control_success_end": success[CONTROL_ARM],
            "rounds_success_end": success[ROUNDS],
            "sop_success_end": success[SOP],
            "budgets": {name: budget.as_dict() for name, budget in self.budgets.items()},
            "scopes": [scope.as_dict() for scope in self.scopes],
        }


def summarise(
    records: Records, *, tasks: tuple[str, ...], robots: int, reset_s: float, resamples: int = RESAMPLES
) -> Comparison:
    """Reduce `records` to a `Comparison`.

    Args:
        tasks: In the order of the study.
        robots: Fleet size.
        reset_s: Before each episode, for throughput that counts it.

    Raises:
        CorruptDataError: An arm or some evaluation is missing.
    """
    if missing := [arm for arm in ARMS[1:] if arm not in records.arms]:
        raise CorruptDataError(f"The records lack the arms {missing}. Run the study again to complete them.")
    return Comparison(
        seeds=records.seeds,
        robots=robots,
        times_s=tuple(float(t) for t in records.times_s),
        scenes_per_task=len(records.scenes) // len(tasks),
        scopes=tuple(
            _scope(name, members, records.only(members), reset_s, resamples)
            for name, members in scopes(tasks).items()
        ),
        budgets={arm: _budget(records, arm, robots) for arm in ARMS[1:]},
    )


def _scope(name: str, tasks: tuple[str, ...], records: Records, reset_s: float, resamples: int) -> Scope:
    solved = {arm: records.outcomes(arm) for arm in ARMS[1:]}  # (seeds, times, scenes)
    duration_s = {arm: records.values(arm, "duration_s") for arm in ARMS[1:]}
    seeds, _, scenes = solved[SOP].shape
    resampling = Resampling.draw(seeds, scenes, np.random.default_rng(_BOOTSTRAP_SEED), resamples)
    ends = {arm: (solved[arm][:, -1], duration_s[arm][:, -1]) for arm in solved}
    # Every arm starts from the checkpoint, so any of them has its evaluation.
    ends[PRETRAINED] = solved[SOP][:, 0], duration_s[SOP][:, 0]
    return Scope(
        name=name,
        tasks=tasks,
        arms={arm: _result(*ends[arm], reset_s, resampling) for arm in ARMS},
        contrasts=tuple(
            Contrast.of((first, second), ends[first][0], ends[second][0], resampling)
            for first, second in combinations(ARMS, 2)
        ),
        curves={
            arm: at_least_wilson(curve_band(outcomes, resampling), outcomes)
            for arm, outcomes in solved.items()
        },
    )


def _result(
    solved: NDArray[np.bool_], duration_s: NDArray[np.floating], reset_s: float, resampling: Resampling
) -> ArmResult:
    """From success and duration, (seeds, scenes)."""
    curve = solved[:, None]
    ended = np.ones_like(solved)
    return ArmResult(
        success=at_least_wilson(curve_band(curve, resampling), curve)[0],
        terminated_per_hour=per_hour(ended, duration_s, resampling),
        successes_per_hour=per_hour(solved, duration_s, resampling),
        terminated_per_hour_with_resets=per_hour(ended, duration_s + reset_s, resampling),
        successes_per_hour_with_resets=per_hour(solved, duration_s + reset_s, resampling),
    )


def _budget(records: Records, arm: str, robots: int) -> Budget:
    seeds = len(records.seeds)
    mine = records.episodes.loc[column(records.episodes, records.by) == arm, :]
    fleet = 0 if arm == CONTROL_ARM else robots
    return Budget(
        robot_hours=fleet * float(records.times_s[-1]) / 3600,
        episode_hours=float(column(mine, "duration_s").sum()) / 3600 / seeds,
        operator_minutes=records.operator_minutes(arm),
        gradient_steps=float(records.values(arm, "learner_step")[:, -1].mean()),
        online_episodes=len(mine) / seeds,
        trained_frames=float(column(mine, "trainable_frames").sum()) / seeds,
    )

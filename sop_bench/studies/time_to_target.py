"""How soon fleets reach a target, and how much sooner than a baseline.

- The *time to target* is the first crossing of the target by the non-decreasing fit (isotonic regression) of
  the curve, linear between evaluations. It is censored, ``inf``, when the fit never reaches the target.
- The *speed-up* of a fleet is the baseline's time to target over its own, both summed over the same seeds. A
  censored time enters means and ratios as the study's duration: so a mean with censored seeds is a lower
  bound, a speed-up over a censored baseline is a lower bound, and one of a censored fleet an upper bound. If
  neither ever reaches the target, nothing is known, and the speed-up is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from sop_bench.studies.stats import Interval, Outcomes, Resampling, percentile_interval

SHORTEST_S = 1.0
"""A time to target is floored here before it divides, for fleets that start above the target."""

_UNKNOWN = Interval(math.nan, math.nan, math.nan)


def non_decreasing(curve: NDArray[np.floating]) -> NDArray[np.float64]:
    """The least-squares non-decreasing fit of a curve, (times,)."""
    return isotonic_regression(np.asarray(curve, dtype=np.float64)).x


def time_to_target(times_s: NDArray[np.floating], curve: NDArray[np.floating], target: float) -> float:
    """First time, s, at which the non-decreasing fit of `curve` reaches `target`; ``inf`` if never.

    Args:
        times_s: (times,) evaluation times, rising.
        curve: (times,) success rate at each.
    """
    fitted = non_decreasing(curve)
    after = int(np.searchsorted(fitted, target - 1e-12))
    if after == len(fitted):
        return math.inf
    if after == 0:
        return float(times_s[0])
    rise = (target - fitted[after - 1]) / (fitted[after] - fitted[after - 1])
    step_s = float(times_s[after] - times_s[after - 1])
    # The crossing test has a tolerance, so a target a rounding error above the fit gives a rise above one.
    return float(times_s[after - 1]) + min(float(rise), 1.0) * step_s


@dataclass(frozen=True)
class TimeToTarget:
    """When a fleet reached the target: mean over seeds, s, and how many seeds never did."""

    interval: Interval
    censored: int

    def as_dict(self) -> dict[str, float | int | None]:
        return {**self.interval.as_dict(), "censored": self.censored}


@dataclass(frozen=True)
class Scaling:
    """What one fleet size gained: time to target and speed-up against the baseline."""

    time_to_target_s: TimeToTarget
    speedup: Interval


def scaling(
    times_s: NDArray[np.floating],
    fleets: Mapping[int, Outcomes],
    target: float,
    resampling: Resampling,
    *,
    baseline: int,
) -> dict[int, Scaling]:
    """Time to target and speed-up of every fleet size, from curves at the same times and scenes.

    Args:
        times_s: (times,) evaluation times; the last is the study's duration.
        fleets: Fleet size to its outcomes.
        target: Success rate to reach.
        baseline: The fleet size whose speed-up is 1 by definition.
    """
    duration_s = float(times_s[-1])

    def seconds(curves: NDArray[np.floating]) -> NDArray[np.float64]:
        """(...,) times to target, capped at the study's duration."""
        flat = [time_to_target(times_s, curve, target) for curve in curves.reshape(-1, curves.shape[-1])]
        return np.minimum(np.asarray(flat), duration_s).reshape(curves.shape[:-1])

    estimates = {n: outcomes.mean(axis=2) for n, outcomes in fleets.items()}  # (seeds, times)
    points = {n: seconds(curves) for n, curves in estimates.items()}  # (seeds,)
    replicates = {n: seconds(resampling.curves(o)) for n, o in fleets.items()}  # (replicates, seeds)

    def ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.maximum(a, SHORTEST_S).sum(axis=-1) / np.maximum(b, SHORTEST_S).sum(axis=-1)

    found = {}
    for n in fleets:
        censored = sum(math.isinf(time_to_target(times_s, curve, target)) for curve in estimates[n])
        time = TimeToTarget(
            percentile_interval(float(points[n].mean()), replicates[n].mean(axis=1)), censored
        )
        gain = percentile_interval(
            float(ratio(points[baseline], points[n])), ratio(replicates[baseline], replicates[n])
        )
        nothing_known = n != baseline and (np.stack([points[baseline], points[n]]) >= duration_s).all()
        found[n] = Scaling(time, _UNKNOWN if nothing_known else gain)
    return found

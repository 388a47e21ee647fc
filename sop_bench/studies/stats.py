"""Statistics of success: rates, differences between them, and curves, each with its interval.

Definitions, so that a reader of a table knows what each number means:

- A *rate* has a Wilson interval; two rates measured on the same scenes are compared by McNemar's exact test.
- A *curve* is success against time. Its outcomes are an array (seeds, times, scenes); the bootstrap resamples
  seeds and scenes (crossed: the same scenes are used by every seed, at every time and in every fleet).
- *Throughput* is given both ways: terminated episodes per hour (whatever their outcome, as the SOP paper
  counts) and successes per hour (as RECAP does); events over the time of all evaluation episodes, ungated.
- A *difference* between two arms has the bootstrap's interval, in which both arms keep their seeds and scenes
  in common. McNemar's p-value beside it counts every pair of seed and scene as independent of the others: it
  knows nothing of the variance between training seeds; where the two disagree, trust the interval.

Times to a target and speed-ups are in `sop_bench.studies.time_to_target`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_confint

CONFIDENCE = 0.95
RESAMPLES = 2000

Outcomes = NDArray[np.bool_]  # (seeds, times, scenes)


@dataclass(frozen=True)
class Interval:
    """A point estimate with the ends of its confidence interval; NaN where undefined."""

    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float | None]:
        """Plain data for JSON: numbers, with ``None`` for what is not finite."""
        return {name: finite(value) for name, value in vars(self).items()}

    def __format__(self, spec: str) -> str:
        spec = spec or ".3f"
        if not math.isfinite(self.mean):
            return "-"
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def __str__(self) -> str:
        return format(self)


def finite(value: float) -> float | None:
    """`value`, or ``None`` if JSON could not hold it."""
    return float(value) if math.isfinite(value) else None


# ---------------------------------------------------------------------------------------------- rates


def wilson(successes: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """The rate of `successes` in `trials` with its Wilson score interval; all of [0, 1] for no trials."""
    if trials == 0:
        return Interval(math.nan, 0.0, 1.0)
    bounds: Any = proportion_confint(successes, trials, alpha=1 - confidence, method="wilson")
    low, high = bounds
    rate = successes / trials
    # The ends touch the rate at 0 and 1, where rounding can put them on the wrong side of it.
    return Interval(rate, min(float(low), rate), max(float(high), rate))


@dataclass(frozen=True)
class PairedTest:
    """Two sets of outcomes on the same scenes.

    Attributes:
        difference: Rate of the second minus rate of the first.
        only_first, only_second: Scenes that just one of them solved.
        p_value: McNemar's exact two-sided test that both are equally good.
    """

    difference: float
    only_first: int
    only_second: int
    p_value: float


def paired_test(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> PairedTest:
    """Compare two boolean outcome vectors (scenes,) measured on the same scenes in the same order.

    Raises:
        ValueError: The vectors differ in length.
    """
    if first.shape != second.shape:
        raise ValueError(f"Paired outcomes must share their scenes: {first.shape} against {second.shape}.")
    table = [
        [int((first & second).sum()), int((first & ~second).sum())],
        [int((~first & second).sum()), int((~first & ~second).sum())],
    ]
    difference = float(second.mean() - first.mean()) if len(first) else 0.0
    result: Any = mcnemar(table, exact=True)
    return PairedTest(difference, table[0][1], table[1][0], float(result.pvalue))


def minimum_detectable_effect(trials: int, rate: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest rise above `rate` that two arms of `trials` each would show with this power.

    It treats the arms as independent; pairing by scene only makes the study more sensitive.
    """
    solved: Any = NormalIndPower().solve_power(nobs1=trials, alpha=alpha, power=power, ratio=1.0)
    angle = math.asin(math.sqrt(rate)) + float(solved) / 2
    return math.sin(min(angle, math.pi / 2)) ** 2 - rate


# --------------------------------------------------------------------------------------------- curves


@dataclass(frozen=True)
class Resampling:
    """Indices of bootstrap replicates, shared by all fleets so that their pairing survives.

    Attributes:
        seeds: (replicates, seeds) indices of training seeds.
        scenes: (replicates, scenes) indices of evaluation scenes.
    """

    seeds: NDArray[np.intp]
    scenes: NDArray[np.intp]

    @classmethod
    def draw(
        cls, seeds: int, scenes: int, rng: np.random.Generator, replicates: int = RESAMPLES
    ) -> Resampling:
        """Draw with replacement. With one seed only the scenes vary: the band then omits seed variance."""
        return cls(
            rng.integers(seeds, size=(replicates, seeds)), rng.integers(scenes, size=(replicates, scenes))
        )

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """(replicates,): `values`, (seeds, scenes), summed over the resampled seeds and scenes."""
        counts = np.stack([np.bincount(row, minlength=values.shape[1]) for row in self.scenes])
        by_seed = counts @ values.astype(np.float64).T  # (replicates, seeds)
        return np.take_along_axis(by_seed, self.seeds, axis=1).sum(axis=1)

    def curves(self, outcomes: Outcomes) -> NDArray[np.float64]:
        """(replicates, seeds, times): each resampled seed's curve over the resampled scenes."""
        scenes = outcomes.shape[2]
        # A replicate's mean over scenes is a product with how often each scene was drawn.
        counts = np.stack([np.bincount(row, minlength=scenes) for row in self.scenes])
        rates = np.einsum("bs,ets->bet", counts, outcomes.astype(np.float64), optimize=True) / scenes
        return np.take_along_axis(rates, self.seeds[:, :, None], axis=1)


def percentile_interval(estimate: float, replicates: NDArray[np.floating]) -> Interval:
    """The bootstrap's interval of an estimate, from its values in all replicates."""
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(replicates, [tail, 100 - tail])
    # A percentile interval can miss its own estimate when replicates are few or skewed.
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate))


def curve_band(outcomes: Outcomes, resampling: Resampling) -> list[Interval]:
    """Mean success over seeds with its band, one interval for each evaluation time."""
    replicates = resampling.curves(outcomes).mean(axis=1)  # (replicates, times)
    means = outcomes.mean(axis=(0, 2))
    return [percentile_interval(float(mean), replicates[:, i]) for i, mean in enumerate(means)]


def at_least_wilson(band: list[Interval], outcomes: Outcomes) -> list[Interval]:
    """The band, never narrower than if all trials were independent.

    A bootstrap of nothing but successes has no width, though twenty successes prove no certainty.
    """
    trials = outcomes.shape[0] * outcomes.shape[2]
    solved = outcomes.sum(axis=(0, 2))
    wide = []
    for interval, successes in zip(band, solved, strict=True):
        rate = wilson(int(successes), trials)
        wide.append(Interval(interval.mean, min(interval.low, rate.low), max(interval.high, rate.high)))
    return wide


def per_hour(events: NDArray[Any], seconds: NDArray[np.floating], resampling: Resampling) -> Interval:
    """A rate of events per hour, all events over all time, with its bootstrap interval.

    Args:
        events: (seeds, scenes) what is counted in each episode: 1 for its end, or 1 only for a success.
        seconds: (seeds, scenes) how long each episode took.
    """
    estimate = 3600 * float(events.sum()) / float(seconds.sum())
    return percentile_interval(estimate, 3600 * resampling.sums(events) / resampling.sums(seconds))


def difference(first: NDArray[np.bool_], second: NDArray[np.bool_], resampling: Resampling) -> Interval:
    """Success of `second` minus that of `first`, both (seeds, scenes), with its bootstrap interval.

    Both are resampled together: seeds that share their scenes and random streams stay paired.
    """
    gain = second.astype(np.float64) - first
    return percentile_interval(float(gain.mean()), resampling.sums(gain) / gain.size)

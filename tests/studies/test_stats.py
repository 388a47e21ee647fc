"""Intervals, paired tests, curves and speed-ups, by property where there is one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sop_bench.studies.stats import (
    Resampling,
    curve_band,
    minimum_detectable_effect,
    paired_test,
    wilson,
)
from sop_bench.studies.time_to_target import non_decreasing, scaling, time_to_target

CURVES = hnp.arrays(np.float64, st.integers(2, 12), elements=st.floats(0, 1, width=32))
RATES = st.floats(0.01, 0.99)


def outcomes_along(rates: list[float], seeds: int = 2, scenes: int = 100) -> np.ndarray:
    """(seeds, times, scenes) with exactly these rates, scenes solved in a fixed order of difficulty."""
    solved = np.arange(scenes)[None, :] < np.round(np.array(rates) * scenes)[:, None]
    return np.repeat(solved[None], seeds, axis=0)


@given(st.integers(0, 300), st.integers(1, 300))
def test_wilson_interval_contains_the_observed_rate_and_stays_within_zero_and_one(k: int, n: int):
    k = min(k, n)
    interval = wilson(k, n)
    assert 0 <= interval.low <= interval.mean <= interval.high <= 1
    assert interval.mean == k / n


def test_wilson_interval_of_94_in_100_is_the_published_one():
    interval = wilson(94, 100)
    assert (interval.low, interval.high) == pytest.approx((0.8752, 0.9722), abs=1e-4)


def test_wilson_interval_of_nothing_says_nothing():
    interval = wilson(0, 0)
    assert math.isnan(interval.mean)
    assert interval.as_dict() == {"mean": None, "low": 0.0, "high": 1.0}


def test_paired_test_counts_only_the_scenes_that_differ():
    first = np.array([True] * 50 + [False] * 20)
    second = np.array([True] * 48 + [False] * 2 + [True] * 15 + [False] * 5)
    result = paired_test(first, second)
    assert (result.only_first, result.only_second) == (2, 15)
    assert result.difference == pytest.approx(13 / 70)
    assert result.p_value == pytest.approx(0.00235, abs=1e-4)


def test_paired_test_refuses_outcomes_of_different_scenes():
    with pytest.raises(ValueError, match="must share their scenes"):
        paired_test(np.ones(3, bool), np.ones(4, bool))


@given(RATES)
def test_more_episodes_detect_smaller_effects(rate: float):
    few, many = (minimum_detectable_effect(n, rate) for n in (50, 200))
    assert 0 <= many <= few <= 1 - rate + 1e-9


@given(CURVES)
def test_the_fit_never_falls_and_keeps_the_mean(curve: np.ndarray):
    fitted = non_decreasing(curve)
    assert (np.diff(fitted) >= 0).all()
    assert fitted.mean() == pytest.approx(curve.mean(), abs=1e-6)


@given(CURVES, RATES, RATES)
def test_a_higher_target_is_never_reached_sooner(curve: np.ndarray, a: float, b: float):
    times_s = np.arange(len(curve)) * 60.0
    low, high = sorted((a, b))
    assert time_to_target(times_s, curve, low) <= time_to_target(times_s, curve, high)


@given(CURVES, RATES)
def test_time_to_target_lies_within_the_study_or_is_censored(curve: np.ndarray, target: float):
    times_s = np.arange(len(curve)) * 60.0
    reached_s = time_to_target(times_s, curve, target)
    assert math.isinf(reached_s) or 0 <= reached_s <= times_s[-1]


def test_time_to_target_interpolates_between_evaluations():
    assert time_to_target(np.array([0.0, 100.0, 200.0]), np.array([0.4, 0.6, 1.0]), 0.8) == pytest.approx(150)


def test_one_lucky_evaluation_does_not_count_as_reaching_the_target():
    lucky = np.array([0.5, 0.82, 0.55, 0.6, 0.9])
    assert time_to_target(np.arange(5.0), lucky, 0.8) > 3


def test_a_curve_that_starts_above_the_target_needs_no_time():
    assert time_to_target(np.array([0.0, 60.0]), np.array([0.9, 0.95]), 0.8) == 0


@settings(deadline=None, max_examples=25)
@given(hnp.arrays(np.bool_, (2, 4, 20)), RATES)
def test_speedup_of_identical_curves_is_one(outcomes: np.ndarray, target: float):
    resampling = Resampling.draw(2, 20, np.random.default_rng(0), replicates=20)
    time_s = np.arange(4) * 60.0
    speedup = scaling(time_s, {1: outcomes, 2: outcomes}, target, resampling, baseline=1)[2].speedup
    reached = any(time_to_target(time_s, curve, target) < time_s[-1] for curve in outcomes.mean(axis=2))
    assert vars(speedup) == (
        {"mean": 1.0, "low": 1.0, "high": 1.0}
        if reached
        else pytest.approx(dict.fromkeys(("mean", "low", "high"), math.nan), nan_ok=True)
    )


def test_the_speedup_is_unknown_when_nobody_reaches_the_target():
    flat = outcomes_along([0.4, 0.4])
    resampling = Resampling.draw(2, 100, np.random.default_rng(0), replicates=20)
    found = scaling(np.array([0.0, 60.0]), {1: flat, 2: flat}, 0.8, resampling, baseline=1)
    assert found[1].speedup.mean == 1
    assert found[2].speedup.as_dict() == {"mean": None, "low": None, "high": None}


def test_a_fleet_that_is_twice_as_fast_has_a_speedup_of_two():
    times_s = np.array([0.0, 300.0, 600.0])
    fleets = {1: outcomes_along([0.4, 0.6, 0.8]), 2: outcomes_along([0.4, 0.8, 0.9])}
    resampling = Resampling.draw(2, 100, np.random.default_rng(0), replicates=300)
    found = scaling(times_s, fleets, 0.8, resampling, baseline=1)
    assert found[1].time_to_target_s.interval.mean == pytest.approx(600)
    assert found[2].speedup.mean == pytest.approx(2.0)
    assert found[2].speedup.low <= 2.0 <= found[2].speedup.high


def test_seeds_that_never_reach_the_target_are_counted_and_enter_at_the_duration():
    times_s = np.array([0.0, 300.0, 600.0])
    slow = np.concatenate([outcomes_along([0.4, 0.5, 0.6], 1), outcomes_along([0.4, 0.8, 0.9], 1)])
    resampling = Resampling.draw(2, 100, np.random.default_rng(0), replicates=50)
    time = scaling(times_s, {1: slow}, 0.8, resampling, baseline=1)[1].time_to_target_s
    assert time.censored == 1
    assert time.interval.mean == pytest.approx((600 + 300) / 2)


def test_a_band_holds_its_curve_and_narrows_with_more_scenes():
    few, many = (
        curve_band(outcomes_along([0.3, 0.9], scenes=n), Resampling.draw(2, n, np.random.default_rng(0), 500))
        for n in (20, 500)
    )
    assert [interval.mean for interval in many] == pytest.approx([0.3, 0.9])
    assert all(b.low <= b.mean <= b.high for b in few + many)
    assert many[0].high - many[0].low < few[0].high - few[0].low


def test_the_bootstrap_is_a_function_of_its_generator():
    outcomes = outcomes_along([0.3, 0.9])
    a, b = (Resampling.draw(2, 100, np.random.default_rng(7), 20).curves(outcomes) for _ in range(2))
    np.testing.assert_array_equal(a, b)

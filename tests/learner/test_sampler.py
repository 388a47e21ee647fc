"""The adaptive sampler, against Eq. 3 and its promises."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sop_bench.errors import ConfigurationError
from sop_bench.learner.sampler import (
    OFFLINE,
    ONLINE,
    AdaptiveSampler,
    Draw,
    SamplerConfig,
    online_share,
)

losses = st.floats(0, 1e6)
small_losses = st.floats(0, 20)
boosts = st.floats(0.1, 10)


@given(small_losses, small_losses, st.floats(1, 5))
def test_the_share_is_equation_3(loss_on: float, loss_off: float, alpha: float):
    equation = math.exp(alpha * loss_on) / (math.exp(alpha * loss_on) + math.exp(loss_off))
    share = online_share(loss_on, loss_off, SamplerConfig(alpha=alpha))
    assert share == pytest.approx(min(max(equation, 0.2), 0.8))


@given(losses, losses, boosts, boosts)
def test_the_share_stays_within_its_clip(loss_on: float, loss_off: float, alpha: float, scale: float):
    assert 0.2 <= online_share(loss_on, loss_off, SamplerConfig(alpha=alpha, loss_scale=scale)) <= 0.8


@given(losses, losses, losses, boosts)
def test_a_higher_online_loss_never_lowers_the_share(low: float, high: float, loss_off: float, alpha: float):
    low, high = sorted((low, high))
    config = SamplerConfig(alpha=alpha)
    assert online_share(low, loss_off, config) <= online_share(high, loss_off, config)


@given(st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_tasks_are_drawn_uniformly_whatever_their_size(tasks: int, seed: int):
    sampler = AdaptiveSampler([f"task {m}" for m in range(tasks)], SamplerConfig())
    frames = np.array([[10 ** (m % 4 + 1), 5 * m] for m in range(tasks)])
    draw = sampler.draw(frames, 7000, np.random.default_rng(seed))
    counts = np.bincount(draw.task, minlength=tasks)
    expected = 7000 / tasks
    assert (np.abs(counts - expected) <= 6 * math.sqrt(expected)).all()


def test_without_online_data_everything_is_offline_and_the_other_way_round():
    sampler = AdaptiveSampler(["a", "b"], SamplerConfig())
    assert sampler.shares(np.array([[10, 0], [0, 10]])).tolist() == [0.0, 1.0]


def test_tasks_without_frames_are_left_out_and_none_at_all_is_an_error():
    sampler = AdaptiveSampler(["a", "b"], SamplerConfig())
    draw = sampler.draw(np.array([[0, 0], [3, 0]]), 50, np.random.default_rng(0))
    assert (draw.task == 1).all()
    with pytest.raises(ConfigurationError, match="nothing to train on for a, b"):
        sampler.draw(np.zeros((2, 2), int), 50, np.random.default_rng(0))


def test_the_cold_start_lasts_until_both_windows_have_a_loss():
    sampler = AdaptiveSampler(["a"], SamplerConfig(cold_start=0.4))
    frames = np.array([[10, 10]])
    sampler.observe(Draw(np.array([0]), np.array([OFFLINE])), np.array([0.1]))
    assert sampler.shares(frames) == [0.4]
    sampler.observe(Draw(np.array([0]), np.array([ONLINE])), np.array([2.0]))
    assert sampler.shares(frames) == [0.8]


def test_losses_older_than_the_window_are_forgotten():
    sampler = AdaptiveSampler(["a"], SamplerConfig(window_steps=3))
    for loss in (9.0, 1.0, 2.0, 3.0):
        sampler.observe(Draw(np.array([0]), np.array([ONLINE])), np.array([loss]))
    row = sampler.rows()[0]
    assert row.loss_on == 2.0
    assert math.isnan(row.loss_off)
    assert row.learner_step == 4


def test_ablations_ignore_the_losses():
    frames = np.array([[30, 10]])
    both = Draw(np.array([0, 0]), np.array([ONLINE, OFFLINE]))
    for config, share in ((SamplerConfig("fixed"), 0.5), (SamplerConfig("proportional"), 0.25)):
        sampler = AdaptiveSampler(["a"], config)
        sampler.observe(both, np.array([5.0, 0.1]))
        assert sampler.shares(frames) == [share]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), small_losses), max_size=20))
def test_a_loaded_sampler_is_the_saved_one(history: list[tuple[int, int, float]]):
    config = SamplerConfig(window_steps=5)
    first, second = (AdaptiveSampler(["a", "b"], config) for _ in range(2))
    frames = np.array([[10, 10], [10, 10]])
    for task, source, loss in history:
        first.observe(Draw(np.array([task]), np.array([source])), np.array([loss]))
    first.draw(frames, 4, np.random.default_rng(0))
    second.load(first.save())
    np.testing.assert_equal(second.save(), first.save())
    assert str(second.rows()) == str(first.rows())  # text, because NaN differs from itself


def test_configurations_that_make_no_sense_are_refused():
    with pytest.raises(ConfigurationError, match=r"lowest=0\.9"):
        SamplerConfig(lowest=0.9)
    with pytest.raises(ConfigurationError, match="Did you mean 'fixed'"):
        SamplerConfig(kind="fix")  # pyright: ignore[reportArgumentType]
    other = AdaptiveSampler(["a"], SamplerConfig(window_steps=7))
    with pytest.raises(ConfigurationError, match="settings the run was started with"):
        AdaptiveSampler(["a"], replace(other.config, window_steps=8)).load(other.save())

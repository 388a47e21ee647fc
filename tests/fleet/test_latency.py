"""Latency profiles reproduce the percentiles they are made of; streams are named."""

from __future__ import annotations

import numpy as np
import pytest

from sop_bench.errors import ConfigurationError
from sop_bench.fleet.latency import FIELD, ZERO, LogNormal, latency_profile
from sop_bench.fleet.streams import scene_seed, stream


@pytest.mark.parametrize("delay", [FIELD.upload, FIELD.publish])
def test_samples_have_the_measured_percentiles(delay: LogNormal):
    rng = np.random.default_rng(0)
    samples = [delay.sample(rng) for _ in range(40_000)]
    assert np.percentile(samples, 50) == pytest.approx(delay.p50_s, rel=0.02)
    assert np.percentile(samples, 99) == pytest.approx(delay.p99_s, rel=0.04)


def test_no_latency_is_no_latency():
    assert ZERO.upload.sample(np.random.default_rng(0)) == 0


def test_profiles_have_names():
    assert latency_profile("field") is FIELD
    with pytest.raises(ConfigurationError, match="Did you mean 'field'"):
        latency_profile("feild")
    with pytest.raises(ConfigurationError, match="p50_s=5 and p99_s=2"):
        LogNormal(5, 2)


def test_streams_differ_by_seed_and_by_name_and_repeat():
    draws = {stream(*key).integers(2**62) for key in [(0, "a", 1), (0, "a", 2), (0, "b", 1), (1, "a", 1)]}
    assert len(draws) == 4
    assert stream(0, "a", 1).integers(2**62) in draws


def test_online_scenes_are_disjoint_from_those_of_demonstrations_and_evaluations():
    assert min(scene_seed(0, robot, n) for robot in range(4) for n in range(100)) >= 10**9

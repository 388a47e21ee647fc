"""How long data takes to reach the learner, and weights to reach a robot."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sop_bench.errors import ConfigurationError, unknown_name

_Z99 = 2.3263478740408408  # 99th percentile of the normal distribution


@dataclass(frozen=True)
class LogNormal:
    """A delay known by its median and its 99th percentile, both in seconds; zero is no delay."""

    p50_s: float
    p99_s: float

    def __post_init__(self):
        if not (0 < self.p50_s <= self.p99_s or self.p50_s == self.p99_s == 0):
            raise ConfigurationError(
                f"A latency has p50_s={self.p50_s:g} and p99_s={self.p99_s:g}; allowed: 0 < p50_s <= p99_s, "
                f"or both 0."
            )

    def sample(self, rng: np.random.Generator) -> float:
        """One delay, s."""
        if self.p50_s == 0:
            return 0.0
        spread = math.log(self.p99_s / self.p50_s) / _Z99
        return self.p50_s * math.exp(spread * rng.standard_normal())


@dataclass(frozen=True)
class LatencyProfile:
    """The delays of a fleet's network.

    Attributes:
        upload: From the end of an episode to the learner being able to sample it.
        publish: From publication of a version to a robot having it.
    """

    upload: LogNormal
    publish: LogNormal


FIELD = LatencyProfile(upload=LogNormal(41, 148), publish=LogNormal(38, 55))
"""As LWD measured it on 16 robots for 8 hours (arXiv 2605.00416, table VI); SOP itself gives no numbers."""

ZERO = LatencyProfile(upload=LogNormal(0, 0), publish=LogNormal(0, 0))
"""The control: everything arrives at once."""

PROFILES = {"field": FIELD, "zero": ZERO}


def latency_profile(name: str) -> LatencyProfile:
    """The profile called `name`; raises `ConfigurationError` if there is none."""
    if name not in PROFILES:
        raise unknown_name("latency profile", name, PROFILES)
    return PROFILES[name]

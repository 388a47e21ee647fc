"""What the SOP paper reports (arXiv 2601.03044), to stand beside what is measured here.

Real robots, HG-DAgger, 180 minutes, one run for each number: `SCALING` is grocery restocking by fleet size
(Table I), `COMPARISON` the main experiment with ten robots, `PRETRAINING` restocking by pretraining data with
four. Its families are named as ours here: grocery restocking, laundry folding, box assembly.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperFleet:
    """One row of the paper's Table I."""

    success_end: float
    time_to_target_min: float
    speedup: float


@dataclass(frozen=True)
class PaperArm:
    """One bar of the paper's main experiment; throughput is terminated episodes per hour, without resets."""

    success: float
    terminated_per_hour: float | None = None


@dataclass(frozen=True)
class PaperPretraining:
    """Success of one pretraining scale, before and after SOP."""

    before: float
    after: float


TARGET = 0.8
SCALING = {
    1: PaperFleet(0.805, 173.6, 1.0),
    2: PaperFleet(0.887, 126.5, 1.4),
    4: PaperFleet(0.925, 71.7, 2.4),
}
COMPARISON = {
    "restock": {"pretrained": PaperArm(0.61), "rounds": PaperArm(0.80), "sop": PaperArm(0.94)},
    "cloth": {"pretrained": PaperArm(0.58, 11), "rounds": PaperArm(0.84, 21), "sop": PaperArm(0.96, 45)},
    "box": {"pretrained": PaperArm(0.70, 18), "rounds": PaperArm(0.82, 26), "sop": PaperArm(0.98, 42)},
}
PRETRAINING = {
    "1/8": PaperPretraining(0.39, 0.815),
    "1/2": PaperPretraining(0.57, 0.895),
    "full": PaperPretraining(0.61, 0.925),
}

"""What the SOP paper reports (arXiv 2601.03044), to stand beside what is measured here.

Real robots, grocery restocking, SOP with HG-DAgger, 180 minutes, one run for each fleet size (Table I).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperFleet:
    """One row of the paper's Table I."""

    success_end: float
    time_to_target_min: float
    speedup: float


TARGET = 0.8
SCALING = {
    1: PaperFleet(0.805, 173.6, 1.0),
    2: PaperFleet(0.887, 126.5, 1.4),
    4: PaperFleet(0.925, 71.7, 2.4),
}

"""What a scaling study runs: a profile chooses typed defaults, and any field can be overridden."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sop_bench.errors import ConfigurationError
from sop_bench.studies.fleet_study import FleetStudy, minutes, settings
from sop_bench.studies.live import CellKey
from sop_bench.studies.paper import TARGET
from sop_bench.studies.records import CONTROL


@dataclass(frozen=True, kw_only=True)
class ScaleStudy(FleetStudy):
    """Success against wall-clock for several fleet sizes, and a control.

    Every cell gets the same virtual duration and the same learner, so only the fleet differs.

    Attributes:
        robots: Fleet sizes; the smallest is the baseline of the speed-up.
        target: Success rate whose first crossing is timed.
    """

    robots: tuple[int, ...]
    target: float = TARGET

    # More fleets only add cells too, and a target only reads them.
    free: ClassVar[frozenset[str]] = FleetStudy.free | {"robots", "target"}

    command: ClassVar[str] = "scale"
    by: ClassVar[str] = "robots"
    header: ClassVar[str] = "fleet"

    @property
    def cells(self) -> list[CellKey]:
        """The control and every fleet size, seed by seed."""
        return [CellKey(seed, n) for seed in self.seeds for n in (CONTROL, *sorted(self.robots))]

    @property
    def order(self) -> list[CellKey]:
        # The largest fleets take longest: started first, they do not leave cores idle at the end.
        return sorted(self.cells, key=lambda key: (key.seed, -key.robots))

    def check(self) -> None:
        if not self.robots or min(self.robots) < 1 or len(set(self.robots)) < len(self.robots):
            raise ConfigurationError(
                f"Fleet sizes {list(self.robots)} make no study; allowed: different whole numbers from 1 up, "
                f"such as --robots 1,2,4. The control is always run."
            )
        if not 0 < self.target < 1:
            raise ConfigurationError(f"Target {self.target} is no success rate; allowed: between 0 and 1.")
        super().check()


PROFILES: dict[str, dict[str, Any]] = {
    # For CI: every part runs, no number means anything.
    "smoke": {"evaluation_times_s": minutes(0, 1, 2), "evaluation_episodes": 8},
    # The default: minutes on two cores.
    "desk": {"evaluation_times_s": minutes(0, 2, 4, 6, 8, 11, 15, 20, 25, 30), "evaluation_episodes": 100},
    # The paper's wall-clock and trial count.
    "paper": {
        "evaluation_times_s": minutes(0, 2, 4, 6, 8, 10, 13, 16, 20, 30, 45, 60, 90, 120, 150, 180),
        "evaluation_episodes": 200,
    },
}


def scale_study(
    profile: str,
    robots: tuple[int, ...],
    *,
    checkpoint: Path | None = None,
    seeds: tuple[int, ...] | None = None,
    **overrides: Any,
) -> ScaleStudy:
    """The study of a profile, any field overridden.

    Raises:
        ConfigurationError: Unknown names, no checkpoint, or values that make no study.
    """
    study = ScaleStudy(robots=tuple(robots), **settings(PROFILES, profile, seeds, checkpoint, **overrides))
    study.check()
    return study

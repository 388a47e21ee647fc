"""What a scaling study runs: a profile chooses typed defaults, and any field can be overridden."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from sop_bench.errors import ConfigurationError, unknown_name
from sop_bench.fleet.latency import latency_profile
from sop_bench.studies.live import CellKey
from sop_bench.studies.paper import TARGET
from sop_bench.studies.records import CONTROL

SHIPPED_CHECKPOINT = Path(__file__).resolve().parents[1] / "checkpoints" / "flat-shelf.safetensors"
"""The pretrained policy of the quick start; `sop-bench pretrain` made it."""


@dataclass(frozen=True)
class ScaleStudy:
    """Success against wall-clock for several fleet sizes, and a control.

    Every cell gets the same virtual duration and the same learner, so only the fleet differs.

    Attributes:
        profile: Name of the profile these values came from.
        robots: Fleet sizes; the smallest is the baseline of the speed-up.
        seeds: Training seeds; every one runs every fleet size and a control.
        adapter, task: Registered robot name, and one of its tasks.
        checkpoint: The pretrained policy that post-training starts from.
        demos: Folder of demonstrations, the offline data; those of the checkpoint if ``None``.
        reset_s: For a person to set up a station before each episode.
        operators: People who supervise the fleet; ``None`` for one per robot.
        learner_steps_per_s, publish_every: Speed of the learner, and its steps from version to version.
        latency: ``"field"`` for upload and publish delays as measured on a real fleet, ``"zero"`` for none.
        target: Success rate whose first crossing is timed.
        evaluation_times_s: When the newest policy is evaluated, virtual seconds; the last ends the study.
        evaluation_episodes: Unseen scenes of each evaluation; the same in every cell.
    """

    profile: str
    robots: tuple[int, ...]
    seeds: tuple[int, ...]
    evaluation_times_s: tuple[float, ...]
    evaluation_episodes: int
    checkpoint: Path
    demos: Path | None
    adapter: str = "so101"
    task: str = "restock/flat-shelf"
    reset_s: float = 10.0
    operators: int | None = None
    learner_steps_per_s: float = 4.0
    publish_every: int = 50
    latency: str = "field"
    target: float = TARGET

    # More fleets or seeds only add cells, a target only reads them, and files may have moved.
    free: ClassVar[frozenset[str]] = frozenset({"robots", "seeds", "target", "checkpoint", "demos"})

    @property
    def tasks(self) -> tuple[str, ...]:
        return (self.task,)

    @property
    def duration_s(self) -> float:
        return self.evaluation_times_s[-1]

    @property
    def cells(self) -> list[CellKey]:
        """The control and every fleet size, seed by seed."""
        return [CellKey(seed, n) for seed in self.seeds for n in (CONTROL, *sorted(self.robots))]

    def check(self) -> None:
        """Raises `ConfigurationError` for values that make no study."""
        if not self.robots or min(self.robots) < 1 or len(set(self.robots)) < len(self.robots):
            raise ConfigurationError(
                f"Fleet sizes {list(self.robots)} make no study; allowed: different whole numbers from 1 up, "
                f"such as --robots 1,2,4. The control is always run."
            )
        if not self.seeds:
            raise ConfigurationError("A study needs at least one seed; give --seeds 1 or more.")
        if not 0 < self.target < 1:
            raise ConfigurationError(f"Target {self.target} is no success rate; allowed: between 0 and 1.")
        latency_profile(self.latency)
        if not self.checkpoint.exists():
            raise ConfigurationError(
                f"No checkpoint at {self.checkpoint}. Give one with --checkpoint, or make one: "
                f"`sop-bench demos`, then `sop-bench pretrain`."
            )


def _minutes(*values: float) -> tuple[float, ...]:
    return tuple(60.0 * value for value in values)


PROFILES: dict[str, dict[str, Any]] = {
    # For CI: every part runs, no number means anything.
    "smoke": {"evaluation_times_s": _minutes(0, 1, 2), "evaluation_episodes": 8},
    # The default: minutes on two cores.
    "desk": {"evaluation_times_s": _minutes(0, 2, 4, 6, 8, 11, 15, 20, 25, 30), "evaluation_episodes": 100},
    # The paper's wall-clock and trial count.
    "paper": {
        "evaluation_times_s": _minutes(0, 2, 4, 6, 8, 10, 13, 16, 20, 30, 45, 60, 90, 120, 150, 180),
        "evaluation_episodes": 200,
    },
}
_SEEDS = {"smoke": (0,), "desk": (0,), "paper": (0, 1, 2)}


def scale_study(
    profile: str,
    robots: tuple[int, ...],
    *,
    checkpoint: Path,
    demos: Path | None,
    seeds: tuple[int, ...] | None = None,
    **overrides: Any,
) -> ScaleStudy:
    """The study of a profile, with other training `seeds` if given, and any field overridden.

    Raises:
        ConfigurationError: Unknown profile, or values that make no study.
    """
    if profile not in PROFILES:
        raise unknown_name("profile", profile, PROFILES)
    study = ScaleStudy(
        profile=profile,
        robots=tuple(robots),
        seeds=_SEEDS[profile] if seeds is None else seeds,
        checkpoint=checkpoint,
        demos=demos,
        **PROFILES[profile],
    )
    study = replace(study, **overrides)
    study.check()
    return study

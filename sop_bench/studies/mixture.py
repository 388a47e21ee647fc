"""Demonstrations of several tasks in given proportions: one collection for each task.

The collections stand side by side in one folder. Each is a function of its own task's settings, so a task
that is added, or given more hours, leaves the others as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sop_bench.errors import ConfigurationError, unknown_name
from sop_bench.fleet.engine import Engine
from sop_bench.robot import Split
from sop_bench.studies.demos import (
    COLLECTION_FILE,
    DemonstrationConfig,
    DemonstrationProgress,
    collect_demonstrations,
    demonstration_files,
)
from sop_bench.supervision.demonstrator import DemonstratorConfig

PAPER_HOURS: Mapping[str, float] = {"restock": 100.0, "cloth": 30.0, "box": 30.0}
"""Robot-hours of each family that the paper's policy was pretrained on: grocery, laundry and box."""

PROFILE_HOURS: Mapping[str, float] = {
    "smoke": 0.005,
    # Of the paper's 160 hours: what this policy, a thousand times smaller, needs to solve half of its scenes.
    "desk": 1.2,
    "paper": 6.0,
}


def family_of(task: str) -> str:
    """``"restock"`` of ``"restock/flat-shelf"``."""
    return task.split("/")[0]


@dataclass(frozen=True)
class MixtureConfig:
    """How much of which task is demonstrated.

    Attributes:
        robot: Registered robot name.
        tasks: What is demonstrated.
        robot_hours: Of all tasks together.
        family_hours: Proportions of the families; a family's share is divided equally over its tasks. One
            that is not named here gets as much as the least of those that are.
        station_seeds, seed, split, cameras, demonstrator: Of each collection, see `DemonstrationConfig`.
    """

    robot: str = "so101"
    tasks: tuple[str, ...] = ("restock/flat-shelf",)
    robot_hours: float = PROFILE_HOURS["desk"]
    family_hours: Mapping[str, float] = field(default_factory=lambda: dict(PAPER_HOURS))
    station_seeds: tuple[int, ...] = (1, 2, 3, 4)
    seed: int = 0
    split: Split = "train"
    cameras: tuple[str, ...] = ("front", "wrist_left", "wrist_right")
    demonstrator: DemonstratorConfig = field(default_factory=DemonstratorConfig)

    def __post_init__(self):
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ConfigurationError(
                f"MixtureConfig.tasks is {self.tasks}; allowed: one or more names, each once."
            )
        if not self.family_hours or min(self.family_hours.values()) <= 0:
            raise ConfigurationError(
                f"MixtureConfig.family_hours is {dict(self.family_hours)}; allowed: hours above 0 for one "
                f"family at least. Leave out tasks that are not to be demonstrated."
            )

    @property
    def task_hours(self) -> dict[str, float]:
        """Robot-hours of each task."""
        families = {family: [t for t in self.tasks if family_of(t) == family] for family in self._families}
        least = min(self.family_hours.values())
        share = {family: self.family_hours.get(family, least) for family in families}
        scale = self.robot_hours / sum(share.values())
        return {task: scale * share[family_of(task)] / len(families[family_of(task)]) for task in self.tasks}

    @property
    def _families(self) -> list[str]:
        return list(dict.fromkeys(family_of(task) for task in self.tasks))

    def collection(self, task: str) -> DemonstrationConfig:
        """The collection of one task."""
        return DemonstrationConfig(
            robot=self.robot,
            tasks=(task,),
            station_seeds=self.station_seeds,
            robot_hours=self.task_hours[task],
            seed=self.seed,
            split=self.split,
            cameras=self.cameras,
            demonstrator=self.demonstrator,
        )


def profile_hours(profile: str) -> float:
    """Robot-hours of all tasks together in a profile; raises `ConfigurationError` if there is no such one."""
    if profile not in PROFILE_HOURS:
        raise unknown_name("profile", profile, PROFILE_HOURS)
    return PROFILE_HOURS[profile]


def folder_of(directory: Path, task: str) -> Path:
    """Where the collection of a task stands in the folder of a mixture."""
    return directory / task.replace("/", "-")


def collect_mixture(
    config: MixtureConfig,
    directory: Path,
    engine: Engine,
    on_progress: Callable[[DemonstrationProgress], None] = lambda progress: None,
) -> dict[str, list[Path]]:
    """Collect every task of a mixture, task after task, going on with what `directory` holds already.

    Args:
        on_progress: Told the demonstrations of all tasks together.

    Returns:
        The files of each task: those that make up its hours, also if there are more.

    Raises:
        ConfigurationError: Unknown robot or task, or `directory` holds something else.
    """
    if (directory / COLLECTION_FILE).exists():
        raise ConfigurationError(
            f"{directory} holds a single collection of demonstrations; allowed: an empty folder, or one with "
            f"a collection for each task. Choose another folder."
        )
    files: dict[str, list[Path]] = {}
    before = DemonstrationProgress(0, 0, 0.0)
    for task in config.tasks:
        folder, earlier = folder_of(directory, task), before

        def tell(now: DemonstrationProgress, earlier: DemonstrationProgress = earlier) -> None:
            on_progress(earlier + now)

        done = collect_demonstrations(config.collection(task), folder, engine, tell)
        files[task] = demonstration_files(folder)[: done.kept]
        before = before + done
    return files

"""What all studies have in common: fleets that differ in one thing, on the same tasks and clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from sop_bench.errors import ConfigurationError, unknown_name
from sop_bench.fleet.latency import latency_profile
from sop_bench.posttrain.hg_dagger import HGDagger, Mode
from sop_bench.robot import make_robot
from sop_bench.studies.live import CellKey

SHIPPED_CHECKPOINT = Path(__file__).resolve().parents[1] / "checkpoints" / "flat-shelf.safetensors"
"""The pretrained policy of the quick start; `sop-bench pretrain` made it."""

SEEDS = {"smoke": (0,), "desk": (0,), "paper": (0, 1, 2)}


@dataclass(frozen=True, kw_only=True)
class FleetStudy(ABC):
    """Cells that share tasks, duration and learner, so that only what they are named for differs.

    Attributes:
        profile: Name of the profile these values came from.
        tasks: What a fleet does, with equal shares; a family is what a task's name begins with.
        seeds: Training seeds; every one runs every cell.
        evaluation_times_s: When the newest policy is evaluated, virtual seconds; the last ends the study.
        evaluation_episodes: Unseen scenes of each task in each evaluation; the same in every cell.
        checkpoint: The pretrained policy that post-training starts from.
        demos: Folder of demonstrations, the offline data; those of the checkpoint if ``None``.
        adapter: Registered robot name.
        reset_s: For a person to set up a station before each episode.
        operators: People who supervise a fleet; ``None`` for one per robot.
        learner_steps_per_s, publish_every: Speed of the learner, and its steps from version to version.
        latency: ``"field"`` for upload and publish delays as measured on a real fleet, ``"zero"`` for none.
        imitate: Which frames HG-DAgger learns from, see `sop_bench.posttrain.hg_dagger`.
    """

    profile: str
    seeds: tuple[int, ...]
    evaluation_times_s: tuple[float, ...]
    evaluation_episodes: int
    checkpoint: Path
    demos: Path | None = None
    tasks: tuple[str, ...] = ("restock/flat-shelf",)
    adapter: str = "so101"
    reset_s: float = 10.0
    operators: int | None = None
    learner_steps_per_s: float = 4.0
    publish_every: int = 50
    latency: str = "field"
    imitate: Mode = "interventions"

    # More seeds only add cells, and files may have moved.
    free: ClassVar[frozenset[str]] = frozenset({"seeds", "checkpoint", "demos"})

    # How cells are told apart, in records and on the screen; studies of fleet sizes say otherwise.
    by: ClassVar[str] = "arm"
    header: ClassVar[str] = "arm"

    @property
    @abstractmethod
    def cells(self) -> list[CellKey]:
        """What is run, in the order in which it is shown."""

    @property
    def order(self) -> list[CellKey]:
        """The same in the order in which it is started."""
        return self.cells

    def needs(self, key: CellKey) -> CellKey | None:
        """The cell that must have finished before `key` begins, if any; it comes earlier in `order`."""
        return None

    @property
    def duration_s(self) -> float:
        return self.evaluation_times_s[-1]

    @property
    def trials(self) -> int:
        """Evaluation episodes of an arm or fleet at one time, all tasks and seeds."""
        return self.evaluation_episodes * len(self.tasks) * len(self.seeds)

    def check(self) -> None:
        """Raises `ConfigurationError` for values that make no study."""
        if not self.seeds:
            raise ConfigurationError("A study needs at least one seed; give --seeds 1 or more.")
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ConfigurationError(f"Tasks {list(self.tasks)} make no study; allowed: different tasks.")
        times_s = self.evaluation_times_s
        if len(times_s) < 2 or times_s[0] != 0 or any(a >= b for a, b in pairwise(times_s)):
            raise ConfigurationError(
                f"Evaluation times {list(times_s)} make no study; allowed: rising times from 0 to the end."
            )
        latency_profile(self.latency)
        HGDagger(self.imitate)
        if not self.checkpoint.exists():
            raise ConfigurationError(
                f"No checkpoint at {self.checkpoint}. Give one with --checkpoint, or make one: "
                f"`sop-bench demos`, then `sop-bench pretrain`."
            )
        with make_robot(self.adapter) as robot:
            for task in self.tasks:
                if task not in robot.spec.tasks:
                    raise unknown_name("task", task, robot.spec.tasks)


@dataclass(frozen=True, kw_only=True)
class OneFleetStudy(FleetStudy):
    """Arms that also share the size of the fleet.

    Attributes:
        robots: Fleet size.
    """

    robots: int

    def check(self) -> None:
        super().check()
        if self.robots < 1:
            raise ConfigurationError(f"A fleet of {self.robots} robots makes no study; allowed: 1 or more.")


def settings(
    profiles: Mapping[str, Mapping[str, Any]],
    profile: str,
    seeds: tuple[int, ...] | None,
    checkpoint: Path | None,
    **overrides: Any,
) -> dict[str, Any]:
    """The fields of a `FleetStudy` from one of `profiles`, its own `seeds` and checkpoint if ``None``.

    Raises:
        ConfigurationError: Unknown profile.
    """
    if profile not in profiles:
        raise unknown_name("profile", profile, profiles)
    return {
        "profile": profile,
        "seeds": SEEDS[profile] if seeds is None else seeds,
        "checkpoint": checkpoint or SHIPPED_CHECKPOINT,
        **profiles[profile],
        **overrides,
    }


def minutes(*values: float) -> tuple[float, ...]:
    """Seconds of these minutes."""
    return tuple(60.0 * value for value in values)


def families(tasks: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Tasks by family, in order: ``restock/freezer`` belongs to ``restock``."""
    found: dict[str, tuple[str, ...]] = {}
    for task in tasks:
        family = task.split("/")[0]
        found[family] = (*found.get(family, ()), task)
    return found


def scopes(tasks: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """What results are reported for: each family, each task of a family of several, and all of several.

    Every task has as many scenes as any other, so a family's success is the mean over its tasks.
    """
    found: dict[str, tuple[str, ...]] = {}
    by_family = families(tasks)
    for family, members in by_family.items():
        found[family] = members
        if len(members) > 1:
            found |= {task: (task,) for task in members}
    return found if len(by_family) == 1 else {**found, "all": tasks}

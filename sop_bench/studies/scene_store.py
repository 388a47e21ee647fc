"""The scenes that an encoder is trained on: which ones a recipe asks for, and where they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sop_bench.fleet.engine import Engine
from sop_bench.policy.scene_files import cached_scenes, load_scenes
from sop_bench.policy.scenes import SceneKind, SceneRequest, Scenes
from sop_bench.robot import Split
from sop_bench.studies.phases import PhaseProgress, say_nothing
from sop_bench.studies.recipe import PretrainConfig, RefinementConfig


@dataclass
class Seen:
    """What the scenes of one task have shown so far."""

    instructions: set[str] = field(default_factory=set)
    labels: tuple[str, ...] = ()


def scene_requests(config: PretrainConfig) -> Iterator[SceneRequest]:
    """The shards of scenes, spread evenly over tasks and stations; those of a task depend on it alone."""
    counts: dict[SceneKind, int] = {"still": config.stills, "moment": config.moments}
    for kind, count in counts.items():
        for task in config.tasks:
            for index in range(_shards(config, count, len(config.tasks))):
                yield _shard(config, task, kind, index)


def further_stills(config: PretrainConfig, refinement: RefinementConfig) -> Iterator[SceneRequest]:
    """The shards of stills that a refinement adds to `scene_requests`."""
    first = _shards(config, config.stills, len(config.tasks))
    for task in refinement.tasks:
        for index in range(first, _shards(config, refinement.stills)):
            yield _shard(config, task, "still", index)


def _shards(config: PretrainConfig, scenes: int, tasks: int = 1) -> int:
    """Of each of so many tasks that share `scenes` evenly."""
    return -(-scenes // (tasks * config.shard_scenes))


def _shard(config: PretrainConfig, task: str, kind: SceneKind, index: int) -> SceneRequest:
    station_seed = config.station_seeds[index % len(config.station_seeds)]
    seed = config.seed * 1_000_000 + 2 * index + (kind == "moment")
    return scene_request(config, task, station_seed, "train", kind, seed, config.shard_scenes)


def scene_request(
    config: PretrainConfig,
    task: str,
    station_seed: int,
    split: Split,
    kind: SceneKind,
    seed: int,
    count: int,
) -> SceneRequest:
    """A shard for the robot and the cameras of `config`."""
    return SceneRequest(config.robot, station_seed, task, split, kind, config.cameras, seed, count)


@dataclass(frozen=True)
class SceneStore:
    """Rendered scenes in a folder for each version of a task: scenes of another version lie."""

    workspace: Path
    versions: Mapping[str, str]
    engine: Engine

    def scenes(
        self,
        requests: Sequence[SceneRequest],
        seen: Mapping[str, Seen] | None = None,
        on_progress: PhaseProgress = say_nothing,
    ) -> Scenes:
        """All scenes of `requests`, in order; what each task shows is entered into `seen`."""
        futures = [
            self.engine.submit(cached_scenes, request, self._folder(request.task)) for request in requests
        ]
        total = sum(request.count for request in requests)
        parts: list[Scenes] = []
        done = 0
        for request, future in zip(requests, futures, strict=True):
            part = load_scenes(future.result(), request.cameras)
            if seen is not None:
                seen[request.task].instructions.update(part.instructions.tolist())
                seen[request.task].labels = tuple(part.labels)
            parts.append(part)
            done += len(part)
            on_progress("scenes", done, total)
        return Scenes.joined(parts)

    def _folder(self, task: str) -> Path:
        return self.workspace / f"scenes-{self.versions[task] or 'unversioned'}"

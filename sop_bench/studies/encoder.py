"""Making an encoder: scenes of every task are rendered, and one encoder learns to read the labels of all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from sop_bench.fleet.engine import Engine
from sop_bench.policy.checkpoint import save_checkpoint
from sop_bench.policy.config import LOOKS, PolicyConfig, TaskConfig
from sop_bench.policy.network import HEAD_FIELDS
from sop_bench.policy.perception import label_lengths, localisation, train_perception
from sop_bench.policy.scene_files import cached_scenes, load_scenes
from sop_bench.policy.scenes import SceneKind, SceneRequest, Scenes, request_facts
from sop_bench.policy.tokenizer import Tokenizer, split_words
from sop_bench.policy.vla import CompactVLA
from sop_bench.robot import RobotSpec, Split, make_robot
from sop_bench.studies.recipe import PretrainConfig

PhaseProgress = Callable[[str, int, int], None]  # what is going on, done, to do

_KINDS: tuple[SceneKind, ...] = ("still", "moment")
_PROBED_LABEL = "target_minus_tcp"


@dataclass
class _Seen:
    """What the scenes of one task have shown so far."""

    instructions: set[str] = field(default_factory=set)
    labels: tuple[str, ...] = ()


def pretrain_encoder(
    config: PretrainConfig,
    workspace: Path,
    engine: Engine,
    on_progress: PhaseProgress = lambda phase, done, total: None,
) -> Path:
    """The file of a policy whose encoder is trained and whose head is not, with the facts of it.

    It stands in `workspace` under a name that says what it was trained on, and is not trained again.

    Raises:
        ConfigurationError: Tasks share a label's name but not its length, or cannot be told apart by words.
    """
    requests = list(scene_requests(config))
    with make_robot(config.robot, station_seed=config.station_seeds[0]) as robot:
        spec = robot.spec
    versions = {task: str(spec.station.get(f"task_version.{task}", "")) for task in config.tasks}
    recipe = {
        **_named(versions),
        "seed": config.seed,
        "scenes": request_facts(requests),
        "perception": asdict(config.perception),
    }
    cameras = [camera for camera, _ in config.pointing]
    shape = {
        "cameras": config.cameras,
        # As it was written while a camera pointed at one label at most: files of that time keep their names.
        "pointing": dict(config.pointing) if len({*cameras}) == len(cameras) else config.pointing,
        # The head is trained elsewhere: with another one, the encoder is the same.
        "network": {k: v for k, v in asdict(config.network).items() if k not in HEAD_FIELDS},
        **(LOOKS if len(config.tasks) > 1 else {}),
    }
    path = workspace / f"encoder-{_fingerprint({**recipe, **shape})}.safetensors"
    if path.exists():
        return path
    store = _Store(workspace, versions, engine)
    seen = {task: _Seen() for task in config.tasks}
    scenes = store.scenes(requests, seen, on_progress)
    generator = torch.Generator().manual_seed(config.seed)
    policy = _untrained(config, spec, scenes, seen, generator)
    train_perception(
        policy,
        scenes,
        config.perception,
        generator,
        lambda step, loss: on_progress("encoder", step, config.perception.steps),
    )
    probes = _probes(config, policy, store)
    save_checkpoint(policy, path, facts={**recipe, "held_out_localisation": probes})
    return path


def _named(versions: Mapping[str, str]) -> dict[str, Any]:
    """One task, or several, in the words of a checkpoint's facts."""
    if len(versions) > 1:
        return {"tasks": dict(versions)}
    return {"task": next(iter(versions)), "task_version": next(iter(versions.values()))}


def _fingerprint(recipe: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def _untrained(
    config: PretrainConfig,
    spec: RobotSpec,
    scenes: Scenes,
    seen: Mapping[str, _Seen],
    generator: torch.Generator,
) -> CompactVLA:
    tasks = [
        TaskConfig(name, tuple(sorted({w for t in of.instructions for w in split_words(t)})), of.labels)
        for name, of in seen.items()
    ]
    shapes = PolicyConfig.for_robot(
        spec,
        config.cameras,
        label_lengths(scenes),
        config.pointing,
        config.network,
        tasks if len(tasks) > 1 else (),
    )
    tokenizer = Tokenizer.build(scenes.instructions.tolist(), config.network.max_words)
    policy = CompactVLA(shapes, tokenizer, generator)
    policy.recogniser.check({name: sorted(of.instructions) for name, of in seen.items()}, tokenizer)
    return policy


def _probes(config: PretrainConfig, policy: CompactVLA, store: _Store) -> dict[str, Any]:
    """How well positions are read in held-out scenes: by kind, and for a generalist by task and label too."""
    count = config.probe_scenes // len(config.probe_station_seeds)
    found: dict[str, dict[str, Any]] = {}
    for task in config.tasks:
        for kind in _KINDS:
            requests = [
                _request(config, task, station_seed, "test", kind, config.seed, count)
                for station_seed in config.probe_station_seeds
            ]
            probe = store.scenes(requests)
            if len(config.tasks) > 1:
                pointed_at = dict.fromkeys(label for _, label in config.pointing if label in probe.labels)
                result = {label: asdict(localisation(policy, probe, label)) for label in pointed_at}
                found.setdefault(task, {})[kind] = result
            elif _PROBED_LABEL in probe.labels:
                found[kind] = asdict(localisation(policy, probe, _PROBED_LABEL))
    return found


# --------------------------------------------------------------------------------------------- scenes


def scene_requests(config: PretrainConfig) -> Iterator[SceneRequest]:
    """The shards of scenes, spread evenly over tasks and stations; those of a task depend on it alone."""
    counts: dict[SceneKind, int] = {"still": config.stills, "moment": config.moments}
    for kind, count in counts.items():
        shards = -(-count // (len(config.tasks) * config.shard_scenes))
        for task in config.tasks:
            for index in range(shards):
                station_seed = config.station_seeds[index % len(config.station_seeds)]
                seed = config.seed * 1_000_000 + 2 * index + (kind == "moment")
                yield _request(config, task, station_seed, "train", kind, seed, config.shard_scenes)


def _request(
    config: PretrainConfig,
    task: str,
    station_seed: int,
    split: Split,
    kind: SceneKind,
    seed: int,
    count: int,
) -> SceneRequest:
    return SceneRequest(config.robot, station_seed, task, split, kind, config.cameras, seed, count)


@dataclass(frozen=True)
class _Store:
    """Rendered scenes in a folder for each version of a task: scenes of another version lie."""

    workspace: Path
    versions: Mapping[str, str]
    engine: Engine

    def scenes(
        self,
        requests: Sequence[SceneRequest],
        seen: Mapping[str, _Seen] | None = None,
        on_progress: PhaseProgress = lambda phase, done, total: None,
    ) -> Scenes:
        """All scenes of `requests`, in order; what each task shows is entered into `seen`."""
        futures = [
            self.engine.submit(cached_scenes, request, self._folder(request.task)) for request in requests
        ]
        total = sum(request.count for request in requests)

        def parts() -> Iterator[Scenes]:
            done = 0
            for request, future in zip(requests, futures, strict=True):
                part = load_scenes(future.result(), request.cameras)
                if seen is not None:
                    seen[request.task].instructions.update(part.instructions.tolist())
                    seen[request.task].labels = tuple(part.labels)
                done += len(part)
                on_progress("scenes", done, total)
                yield part

        return Scenes.joined(parts(), total)

    def _folder(self, task: str) -> Path:
        return self.workspace / f"scenes-{self.versions[task] or 'unversioned'}"

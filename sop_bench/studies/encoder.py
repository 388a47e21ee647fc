"""Making an encoder: scenes of every task are rendered, and one encoder learns to read the labels of all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sop_bench.fleet.engine import Engine
from sop_bench.policy.checkpoint import load_checkpoint, save_checkpoint
from sop_bench.policy.config import LOOKS, PolicyConfig, TaskConfig
from sop_bench.policy.localisation import localisation
from sop_bench.policy.network import HEAD_FIELDS
from sop_bench.policy.perception import PerceptionConfig, label_lengths, train_perception
from sop_bench.policy.scenes import SceneKind, Scenes, request_facts
from sop_bench.policy.tokenizer import Tokenizer, split_words
from sop_bench.policy.vla import CompactVLA
from sop_bench.robot import RobotSpec, make_robot
from sop_bench.studies.phases import PhaseProgress, say_nothing
from sop_bench.studies.recipe import PretrainConfig, RefinementConfig
from sop_bench.studies.scene_store import (
    SceneStore,
    Seen,
    further_stills,
    scene_request,
    scene_requests,
)

_KINDS: tuple[SceneKind, ...] = ("still", "moment", "first")
_PROBED_LABEL = "target_minus_tcp"


def pretrain_encoder(
    config: PretrainConfig,
    workspace: Path,
    engine: Engine,
    on_progress: PhaseProgress = say_nothing,
) -> Path:
    """The file of a policy whose encoder is trained and whose head is not, with the facts of it.

    It stands in `workspace` under a name that says what it was trained on, and is not trained again.

    Raises:
        ConfigurationError: Tasks share a label's name but not its length, or cannot be told apart by words.
    """
    with make_robot(config.robot, station_seed=config.station_seeds[0]) as robot:
        spec = robot.spec
    versions = {task: str(spec.station.get(f"task_version.{task}", "")) for task in config.tasks}
    recipe = {
        **_named(versions),
        "seed": config.seed,
        "scenes": request_facts(list(scene_requests(config))),
        "perception": _schedule(config.perception),
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
    store = SceneStore(workspace, versions, engine)
    if not path.exists():
        _train_first(config, spec, store, path, recipe, on_progress)
    return _refined(config, config.refinement, store, path, on_progress) if config.refinement else path


def _train_first(
    config: PretrainConfig,
    spec: RobotSpec,
    store: SceneStore,
    path: Path,
    recipe: Mapping[str, Any],
    on_progress: PhaseProgress,
) -> None:
    """From nothing, into `path`."""
    seen = {task: Seen() for task in config.tasks}
    scenes = store.scenes(list(scene_requests(config)), seen, on_progress)
    generator = torch.Generator().manual_seed(config.seed)
    policy = _untrained(config, spec, scenes, seen, generator)
    train_perception(
        policy,
        scenes,
        config.perception,
        generator,
        lambda step, loss: on_progress("encoder", step, config.perception.steps, loss),
    )
    probes = _probes(config, policy, store)
    save_checkpoint(policy, path, facts={**recipe, "held_out_localisation": probes})


def _refined(
    config: PretrainConfig,
    refinement: RefinementConfig,
    store: SceneStore,
    start: Path,
    on_progress: PhaseProgress,
) -> Path:
    """The file of the encoder in `start` after a second phase, trained unless it is there."""
    requests = [*scene_requests(config), *further_stills(config, refinement)]
    recipe = {
        "refined_tasks": list(refinement.tasks),
        "scenes": request_facts(requests),
        "refinement": _schedule(refinement.perception),
    }
    path = start.with_name(f"{start.stem}-{_fingerprint(recipe)}.safetensors")
    if path.exists():
        return path
    scenes = store.scenes(requests, on_progress=on_progress)
    before = load_checkpoint(start)
    train_perception(
        before.policy,
        scenes,
        refinement.perception,
        torch.Generator().manual_seed(config.seed + 1),  # not the batches of the first phase again
        lambda step, loss: on_progress("encoder again", step, refinement.perception.steps, loss),
        keep_statistics=True,
    )
    probes = _probes(config, before.policy, store)
    save_checkpoint(before.policy, path, facts={**before.facts, **recipe, "held_out_localisation": probes})
    return path


def _schedule(config: PerceptionConfig) -> dict[str, Any]:
    """As files say it; one worker goes without saying, as it did before there could be more."""
    said = asdict(config)
    return {name: value for name, value in said.items() if (name, value) != ("workers", 1)}


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
    seen: Mapping[str, Seen],
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


def _probes(config: PretrainConfig, policy: CompactVLA, store: SceneStore) -> dict[str, Any]:
    """How well positions are read in held-out scenes: by kind, and for a generalist by task and label too."""
    count = config.probe_scenes // len(config.probe_station_seeds)
    found: dict[str, dict[str, Any]] = {}
    for task in config.tasks:
        for kind in _KINDS:
            requests = [
                scene_request(config, task, station_seed, "test", kind, config.seed, count)
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

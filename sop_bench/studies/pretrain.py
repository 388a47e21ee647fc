"""Pretraining: scenes, then the encoder, then demonstrations, then behaviour cloning, into one checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from sop_bench.episode import decode_png, load_episode
from sop_bench.errors import ConfigurationError
from sop_bench.fleet.engine import Engine
from sop_bench.policy.base import PolicyVersion
from sop_bench.policy.batch import TrainingBatch
from sop_bench.policy.checkpoint import load_checkpoint, save_checkpoint
from sop_bench.policy.chunks import chunk_targets, supervised_steps
from sop_bench.policy.config import NetworkConfig, PolicyConfig
from sop_bench.policy.optimisation import OptimiserConfig, WeightAverage, adamw, descend
from sop_bench.policy.perception import (
    PerceptionConfig,
    label_lengths,
    localisation,
    train_perception,
)
from sop_bench.policy.scenes import SceneKind, SceneRequest, Scenes, cached_scenes, load_scenes, request_facts
from sop_bench.policy.tokenizer import Tokenizer
from sop_bench.policy.vla import CompactVLA, single_thread
from sop_bench.robot import Split, make_robot
from sop_bench.studies.demos import DemonstrationConfig, collect_demonstrations, demonstration_files

Phase = Literal["scenes", "encoder", "demonstrations", "cloning"]
Progress = Callable[[Phase, int, int], None]  # what is going on, done, to do

_PROBED_LABEL = "target_minus_tcp"


@dataclass(frozen=True)
class CloningConfig:
    """Behaviour cloning of the action head on cached features.

    Attributes:
        steps, batch_size: Gradient steps and frames in each.
        optimiser: See `OptimiserConfig`.
    """

    steps: int = 1500
    batch_size: int = 128
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)


@dataclass(frozen=True)
class PretrainConfig:
    """A pretrained policy, from nothing.

    Attributes:
        robot, task: What to pretrain for.
        cameras: What the policy sees.
        pointing: Camera name to the label that it points at.
        station_seeds: Stations whose scenes are rendered.
        stills, moments: Scenes of each kind (see `sop_bench.policy.scenes`), rounded up to whole shards.
        probe_station_seeds: Stations never trained on, whose held-out scenes measure the encoder.
        demonstrations: The offline data; few, so that post-training has something to do.
        network, perception, cloning: See there.
        seed: Of everything.
    """

    robot: str = "so101"
    task: str = "restock/flat-shelf"
    cameras: tuple[str, ...] = ("front", "wrist_right")
    pointing: Mapping[str, str] = field(
        default_factory=lambda: {"front": "target_xyz", "wrist_right": "target_minus_tcp"}
    )
    station_seeds: tuple[int, ...] = tuple(range(1, 13))
    stills: int = 72_000
    moments: int = 24_000
    shard_scenes: int = 1000
    probe_station_seeds: tuple[int, ...] = (101, 102)
    probe_scenes: int = 1000
    demonstrations: DemonstrationConfig = field(default_factory=lambda: DemonstrationConfig(robot_hours=0.02))
    network: NetworkConfig = field(default_factory=NetworkConfig)
    perception: PerceptionConfig = field(default_factory=PerceptionConfig)
    cloning: CloningConfig = field(default_factory=CloningConfig)
    seed: int = 0


def pretrain(
    config: PretrainConfig,
    workspace: Path,
    checkpoint: Path,
    engine: Engine,
    on_progress: Progress = lambda phase, done, total: None,
    *,
    encoder: Path | None = None,
) -> PolicyVersion:
    """Pretrain a policy and write it to `checkpoint`; the same configuration gives the same policy.

    Scenes, the encoder and demonstrations are kept in `workspace`: a run that was interrupted goes on with
    what is complete, and one that differs in the demonstrations alone takes a minute.
    All training is on one thread, so the bits of the weights depend on the processor and on nothing else.

    Args:
        encoder: A checkpoint whose encoder is taken over instead of training one, so that only the
            demonstrations and the cloning are new: minutes become seconds.

    Raises:
        ConfigurationError: Unknown names, or a robot that cannot pose scenes.
    """
    if encoder is None:
        encoder = pretrain_encoder(config, workspace, engine, on_progress)
    generator = torch.Generator().manual_seed(config.seed)
    policy, facts = with_encoder_of(encoder, generator)

    def report(progress: Any) -> None:
        wanted = config.demonstrations.robot_hours
        on_progress("demonstrations", round(progress.robot_hours * 3600), round(wanted * 3600))

    folder = workspace / "demonstrations"
    collected = collect_demonstrations(config.demonstrations, folder, engine, report)
    files = demonstration_files(folder)
    loss = behaviour_cloning(policy, files, config.cloning, generator, on_progress)
    facts["demonstrations"] = {
        **asdict(config.demonstrations),
        "kept": collected.kept,
    }
    facts["cloning"] = {**asdict(config.cloning), "final_loss": loss}
    return save_checkpoint(policy, checkpoint, facts=facts)


def pretrain_encoder(
    config: PretrainConfig,
    workspace: Path,
    engine: Engine,
    on_progress: Progress = lambda phase, done, total: None,
) -> Path:
    """The file of a policy whose encoder is trained and whose head is not, with the facts of it.

    It stands in `workspace` under a name that says what it was trained on, and is not trained again.
    """
    requests = list(scene_requests(config))
    with make_robot(config.robot, station_seed=config.station_seeds[0]) as robot:
        spec = robot.spec
    recipe = {
        "task": config.task,
        "task_version": spec.station.get(f"task_version.{config.task}", ""),
        "seed": config.seed,
        "scenes": request_facts(requests),
        "perception": asdict(config.perception),
    }
    shape = {"cameras": config.cameras, "pointing": config.pointing, "network": asdict(config.network)}
    path = workspace / f"encoder-{_fingerprint({**recipe, **shape})}.safetensors"
    if path.exists():
        return path
    folder = workspace / f"scenes-{recipe['task_version'] or 'unversioned'}"  # of another version, they lie
    scenes = _render(requests, folder, engine, on_progress)
    shapes = PolicyConfig.for_robot(
        spec, config.cameras, label_lengths(scenes), config.pointing, config.network
    )
    generator = torch.Generator().manual_seed(config.seed)
    tokenizer = Tokenizer.build(scenes.instructions.tolist(), config.network.max_words)
    policy = CompactVLA(shapes, tokenizer, generator)
    train_perception(
        policy,
        scenes,
        config.perception,
        generator,
        lambda step, loss: on_progress("encoder", step, config.perception.steps),
    )
    probes = {
        kind: asdict(localisation(policy, probe, _PROBED_LABEL))
        for kind, probe in _probe_scenes(config, folder, engine).items()
        if _PROBED_LABEL in probe.labels
    }
    save_checkpoint(policy, path, facts={**recipe, "held_out_localisation": probes})
    return path


def _fingerprint(recipe: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def with_encoder_of(path: Path, generator: torch.Generator) -> tuple[CompactVLA, dict[str, Any]]:
    """A policy with the encoder of `path` and an untrained head, and the facts of that encoder."""
    earlier = load_checkpoint(path)
    policy = CompactVLA(earlier.policy.config, earlier.policy.tokenizer, generator)
    policy.encoder.load_state_dict(earlier.policy.encoder.state_dict())
    return policy, {**earlier.facts, "encoder_of": earlier.policy.version.content_hash}


def behaviour_cloning(
    policy: CompactVLA,
    files: Sequence[Path],
    config: CloningConfig,
    generator: torch.Generator,
    on_progress: Progress = lambda phase, done, total: None,
) -> float:
    """Fit the normaliser and train the action head on demonstrations; the encoder stays as it is.

    Args:
        files: Episodes, as `sop_bench.studies.demos` keeps them.
        generator: Source of batches and noise.

    Returns:
        The mean loss of the last tenth of the steps.
    """
    frames = demonstration_frames(policy, files)
    policy.normaliser.fit(frames.state, frames.commanded_rad, frames.chunk_rad, frames.valid)
    parameters = policy.trainable_parameters("head")
    optimiser = adamw(parameters, config.optimiser)
    average = WeightAverage(dict(policy.head.named_parameters()), config.optimiser.average_decay)
    losses: list[float] = []
    with single_thread():  # a head this small gains nothing from more, and its bits stay the same
        for step in range(config.steps):
            rows = torch.randint(len(frames), (config.batch_size,), generator=generator)
            loss = policy.loss(_rows(frames, rows), generator).mean()
            descend(
                loss,
                optimiser,
                parameters,
                learning_rate=config.optimiser.rate(step, config.steps),
                clip_norm=config.optimiser.clip_norm,
            )
            average.update(dict(policy.head.named_parameters()))
            losses.append(loss.item())
            on_progress("cloning", step + 1, config.steps)
    policy.head.load_state_dict(average.weights(), strict=False)
    return float(np.mean(losses[-max(1, config.steps // 10) :]))


def demonstration_frames(policy: CompactVLA, files: Sequence[Path]) -> TrainingBatch:
    """Every frame of the demonstrations that the demonstrator controlled, with cached features."""
    parts: list[tuple[np.ndarray, ...]] = []
    for file in files:
        episode = load_episode(file, cameras=policy.cameras)
        steps, valid_steps, hold_after = supervised_steps(episode.frames, success=episode.header.success)
        if not len(steps):
            continue
        images = {
            camera: np.stack(
                [decode_png(_recorded(episode.images_png[camera][step], file)) for step in steps]
            )
            for camera in policy.cameras
        }
        state = episode.frames.state[steps]
        chunk_rad, valid = chunk_targets(episode.frames, steps, valid_steps, hold_after, policy.chunk_steps)
        features = policy.encode(images, [episode.header.instruction] * len(steps), state)
        parts.append((features, state, episode.frames.commanded_rad[steps], chunk_rad, valid))
    return TrainingBatch(*(torch.from_numpy(np.concatenate(column)) for column in zip(*parts, strict=True)))


def scene_requests(config: PretrainConfig) -> Iterator[SceneRequest]:
    """The shards of scenes, spread evenly over the stations."""
    counts: dict[SceneKind, int] = {"still": config.stills, "moment": config.moments}
    for kind, count in counts.items():
        for index in range(-(-count // config.shard_scenes)):
            station_seed = config.station_seeds[index % len(config.station_seeds)]
            seed = config.seed * 1_000_000 + 2 * index + (kind == "moment")
            yield _request(config, station_seed, "train", kind, seed, config.shard_scenes)


def _probe_scenes(config: PretrainConfig, directory: Path, engine: Engine) -> dict[str, Scenes]:
    count = config.probe_scenes // len(config.probe_station_seeds)
    kinds: tuple[SceneKind, ...] = ("still", "moment")
    return {
        kind: _render(
            [
                _request(config, station_seed, "test", kind, config.seed, count)
                for station_seed in config.probe_station_seeds
            ],
            directory,
            engine,
        )
        for kind in kinds
    }


def _request(
    config: PretrainConfig,
    station_seed: int,
    split: Split,
    kind: SceneKind,
    seed: int,
    count: int,
) -> SceneRequest:
    return SceneRequest(config.robot, station_seed, config.task, split, kind, config.cameras, seed, count)


def _render(
    requests: Sequence[SceneRequest],
    directory: Path,
    engine: Engine,
    on_progress: Progress = lambda phase, done, total: None,
) -> Scenes:
    futures = [engine.submit(cached_scenes, request, directory) for request in requests]
    parts: list[Scenes] = []
    for future in futures:
        parts.append(load_scenes(future.result()))
        on_progress("scenes", sum(map(len, parts)), sum(request.count for request in requests))
    return Scenes.joined(parts)


def _rows(frames: TrainingBatch, rows: Tensor) -> TrainingBatch:
    return TrainingBatch(
        features=frames.features[rows],
        state=frames.state[rows],
        commanded_rad=frames.commanded_rad[rows],
        chunk_rad=frames.chunk_rad[rows],
        valid=frames.valid[rows],
    )


def _recorded(png: bytes | None, file: Path) -> bytes:
    if png is None:
        raise ConfigurationError(
            f"{file} lacks images of frames that the demonstrator controlled; allowed: episodes recorded "
            f"with all pixels. Collect the demonstrations again."
        )
    return png

"""Speed of the learner on one core: `make benchmarks`.

Targets: 15 ms a step at batch 128 on cached features, 60 ms from images; see DESIGN, section 9.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sop_bench.episode import Episode, EpisodeHeader, Frames, Source, encode_png, save_episode
from sop_bench.learner.learner import Learner
from sop_bench.learner.optimiser import LearnerConfig
from sop_bench.learner.sampler import OFFLINE, ONLINE, AdaptiveSampler, SamplerConfig
from sop_bench.policy.checkpoint import save_checkpoint
from sop_bench.policy.config import PolicyConfig
from sop_bench.policy.tokenizer import Tokenizer
from sop_bench.policy.vla import CompactVLA
from sop_bench.robot import CameraSpec, Outcome

TASK = "benchmark/reach"
JOINTS = (*(f"joint_{index}" for index in range(5)), "gripper")
STATE = tuple(f"state_{index}" for index in range(12))
CAMERAS = (CameraSpec("front", 80, 128), CameraSpec("wrist_right", 64, 64))
STEPS = 100


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained policy of the default size."""
    config = PolicyConfig(CAMERAS, JOINTS, STATE, labels=(("target_xyz", 3),))
    policy = CompactVLA(config, Tokenizer(["reach"], 12), torch.Generator().manual_seed(0))
    path = tmp_path_factory.mktemp("policy") / "base.safetensors"
    save_checkpoint(policy, path)
    return path


def episode(index: int) -> Episode:
    """An episode of an expert, ten seconds long, with noise for images."""
    rng = np.random.default_rng(index)
    commanded = rng.normal(size=(STEPS, len(JOINTS))).astype(np.float32)
    frames = Frames(
        step=np.arange(STEPS, dtype=np.int32),
        policy_version=np.zeros(STEPS, np.int32),
        source=np.full(STEPS, Source.EXPERT, np.int8),
        segment_id=np.zeros(STEPS, np.int32),
        state=rng.normal(size=(STEPS, len(STATE))).astype(np.float32),
        commanded_rad=commanded,
        requested_rad=commanded,
        executed_rad=commanded,
        monotonic_s=np.arange(STEPS) / 10,
        wall_s=np.zeros(STEPS),
    )
    header = EpisodeHeader(
        run_id="benchmark", episode_id=f"e{index}", robot="none", robot_index=0, station={}, task=TASK,
        split="train", seed=index, instruction="reach", policy_version=0, policy_hash="", control_hz=10,
        started_s=0, outcome=Outcome.SUCCESS,
    )  # fmt: skip
    images = {
        camera.name: [
            encode_png(rng.integers(0, 256, (camera.height, camera.width, 3), np.uint8)) for _ in range(STEPS)
        ]
        for camera in CAMERAS
    }
    return Episode(header, frames, images)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("episodes")
    return [save_episode(episode(index), directory / f"e{index}.parquet") for index in range(8)]


def learner(checkpoint: Path, files: list[Path], config: LearnerConfig) -> Learner:
    made = Learner(checkpoint, [TASK], config=config)
    for index, path in enumerate(files):
        made.ingest(path, source=ONLINE if index % 2 else OFFLINE)
    made.train(2)
    return made


@pytest.mark.parametrize("mode", ["head", "all"])
def test_a_step_at_batch_128(benchmark, checkpoint: Path, files: list[Path], mode: str):
    config = replace(LearnerConfig(), mode=mode)  # pyright: ignore[reportArgumentType]
    made = learner(checkpoint, files, config)
    benchmark.pedantic(made.train, args=(1,), rounds=20 if mode == "head" else 5, warmup_rounds=1)


def test_the_part_of_a_step_that_is_not_the_network(benchmark, checkpoint: Path, files: list[Path]):
    made = learner(checkpoint, files, LearnerConfig())
    rng = np.random.default_rng(0)

    def sample() -> None:
        draw = made.sampler.draw(made.replay.counts, 128, rng)
        made.replay.take(made.replay.sample(draw, rng), 0)

    benchmark(sample)


def test_ingesting_an_episode_of_a_hundred_trainable_frames(benchmark, checkpoint: Path, files: list[Path]):
    def fresh() -> tuple[tuple[Learner], dict]:
        return (Learner(checkpoint, [TASK]),), {}

    benchmark.pedantic(lambda made: made.ingest(files[0], source=OFFLINE), setup=fresh, rounds=5)


def test_saving_a_learner(benchmark, checkpoint: Path, files: list[Path], tmp_path: Path):
    benchmark(learner(checkpoint, files, LearnerConfig()).save, tmp_path / "state")


def test_drawing_a_batch_for_seven_tasks(benchmark):
    sampler = AdaptiveSampler([f"task {index}" for index in range(7)], SamplerConfig())
    frames, rng = np.full((7, 2), 1000), np.random.default_rng(0)

    def step() -> None:
        draw = sampler.draw(frames, 128, rng)
        sampler.observe(draw, np.ones(128))

    benchmark(step)

"""Speed of the policy on one core. Run with `pytest tests/benchmarks --benchmark-only`.

Targets: 15 ms for a head step on cached features and 60 ms for a step from images, both at batch 128, and
2 ms to act.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from sop_bench.policy.batch import PixelBatch, TrainingBatch
from sop_bench.policy.config import PolicyConfig
from sop_bench.policy.freed_memory import keep_freed_memory
from sop_bench.policy.optimisation import OptimiserConfig, adamw, descend
from sop_bench.policy.tokenizer import Tokenizer
from sop_bench.policy.vla import CompactVLA
from sop_bench.robot import CameraSpec, Observation

BATCH = 128
INSTRUCTION = "put the green banded carton in the left slot"
CONFIG = PolicyConfig(
    cameras=(CameraSpec("front", 80, 128), CameraSpec("wrist_right", 64, 64)),
    joint_names=(*(f"joint{i}" for i in range(11)), "right_gripper"),
    proprioception_names=tuple(f"value{i}" for i in range(24)),
    labels=(("target_xyz", 3), ("target_minus_tcp", 3), ("slot_xyz", 3), ("slot_minus_tcp", 3), ("held", 1)),
    pointing=(("front", "target_xyz"), ("wrist_right", "target_minus_tcp")),
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def policy() -> CompactVLA:
    tokenizer = Tokenizer.build([INSTRUCTION], CONFIG.network.max_words)
    return CompactVLA(CONFIG, tokenizer, torch.Generator().manual_seed(0))


def a_batch(generator: torch.Generator) -> TrainingBatch:
    return TrainingBatch(
        features=torch.randn(BATCH, CONFIG.feature_dim, generator=generator),
        state=torch.randn(BATCH, CONFIG.state_dim, generator=generator),
        commanded_rad=torch.randn(BATCH, CONFIG.action_dim, generator=generator),
        chunk_rad=torch.randn(BATCH, CONFIG.network.chunk_steps, CONFIG.action_dim, generator=generator),
        valid=torch.ones(BATCH, CONFIG.network.chunk_steps, dtype=torch.bool),
    )


def test_head_step_on_cached_features(benchmark, policy):
    generator, config = torch.Generator().manual_seed(0), OptimiserConfig()
    batch, parameters = a_batch(generator), policy.trainable_parameters("head")
    optimiser = adamw(parameters, config)

    def step() -> None:
        loss = policy.loss(batch, generator).mean()
        descend(loss, optimiser, parameters, learning_rate=1e-3, clip_norm=config.clip_norm)

    benchmark.pedantic(step, warmup_rounds=5, rounds=40)


def test_step_from_images(benchmark, policy):
    keep_freed_memory()  # as every learner does
    generator, config = torch.Generator().manual_seed(0), OptimiserConfig()
    frames, parameters = a_batch(generator), policy.trainable_parameters("all")
    optimiser = adamw(parameters, config)
    batch = PixelBatch(
        images={
            camera.name: torch.randint(
                256, (BATCH, camera.height, camera.width, 3), dtype=torch.uint8, generator=generator
            )
            for camera in CONFIG.cameras
        },
        tokens=policy.tokenizer([INSTRUCTION] * BATCH),
        state=frames.state,
        commanded_rad=frames.commanded_rad,
        chunk_rad=frames.chunk_rad,
        valid=frames.valid,
    )

    def step() -> None:
        loss = policy.loss_from_pixels(batch, generator).mean()
        descend(loss, optimiser, parameters, learning_rate=1e-3, clip_norm=config.clip_norm)

    benchmark.pedantic(step, warmup_rounds=2, rounds=10)


def test_act(benchmark, policy):
    rng = np.random.default_rng(0)
    observation = Observation(
        images={
            c.name: rng.integers(256, size=(c.height, c.width, 3), dtype=np.uint8) for c in CONFIG.cameras
        },
        proprioception=rng.normal(size=CONFIG.state_dim).astype(np.float32),
        commanded_rad=rng.normal(size=CONFIG.action_dim).astype(np.float32),
        instruction=INSTRUCTION,
    )
    benchmark.pedantic(lambda: policy.act(observation, rng), warmup_rounds=20, rounds=300)

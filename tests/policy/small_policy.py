"""A policy of a few thousand weights, and data of the right shapes for it."""

from __future__ import annotations

import numpy as np
import torch

from sop_bench.policy.batch import PixelBatch, TrainingBatch
from sop_bench.policy.config import PolicyConfig
from sop_bench.policy.network import NetworkConfig
from sop_bench.policy.tokenizer import Tokenizer
from sop_bench.policy.vla import CompactVLA
from sop_bench.robot import CameraSpec, Observation

CAMERAS = (CameraSpec("front", 16, 24), CameraSpec("wrist_right", 16, 16))
JOINTS = ("pan", "lift", "right_gripper")
INSTRUCTION = "put the green box left"
CONFIG = PolicyConfig(
    cameras=CAMERAS,
    joint_names=JOINTS,
    proprioception_names=("a", "b", "c", "d"),
    labels=(("target", 3), ("held", 1)),
    pointing=(("front", "target"),),
    network=NetworkConfig.tiny(),
)


def a_policy(seed: int = 0) -> CompactVLA:
    """A policy with statistics, and a head that has left its all-zero start."""
    generator = torch.Generator().manual_seed(seed)
    policy = CompactVLA(CONFIG, Tokenizer.build([INSTRUCTION], CONFIG.network.max_words), generator)
    batch = a_batch()
    policy.normaliser.fit(batch.state, batch.commanded_rad, batch.chunk_rad, batch.valid)
    with torch.no_grad():
        policy.head.out.bias.normal_(generator=generator)
    return policy


def a_batch(size: int = 8) -> TrainingBatch:
    """Frames whose grippers are either at -0.25 or at 0.75."""
    generator = torch.Generator().manual_seed(1)
    steps, action_dim = CONFIG.network.chunk_steps, CONFIG.action_dim
    chunk_rad = torch.randn(size, steps, action_dim, generator=generator)
    chunk_rad[..., 2] = torch.where(chunk_rad[..., 2] > 0, 0.75, -0.25)
    return TrainingBatch(
        features=torch.randn(size, CONFIG.feature_dim, generator=generator),
        state=torch.randn(size, CONFIG.state_dim, generator=generator),
        commanded_rad=torch.randn(size, action_dim, generator=generator),
        chunk_rad=chunk_rad,
        valid=torch.ones(size, steps, dtype=torch.bool),
    )


def a_pixel_batch(policy: CompactVLA, size: int = 8) -> PixelBatch:
    generator, batch = torch.Generator().manual_seed(2), a_batch(size)
    return PixelBatch(
        images={
            camera.name: torch.randint(
                256, (size, camera.height, camera.width, 3), dtype=torch.uint8, generator=generator
            )
            for camera in CAMERAS
        },
        tokens=policy.tokenizer([INSTRUCTION] * size),
        state=batch.state,
        commanded_rad=batch.commanded_rad,
        chunk_rad=batch.chunk_rad,
        valid=batch.valid,
    )


def an_observation(seed: int = 0) -> Observation:
    rng = np.random.default_rng(seed)
    return Observation(
        images={c.name: rng.integers(256, size=(c.height, c.width, 3), dtype=np.uint8) for c in CAMERAS},
        proprioception=rng.normal(size=CONFIG.state_dim).astype(np.float32),
        commanded_rad=rng.normal(size=CONFIG.action_dim).astype(np.float32),
        instruction=INSTRUCTION,
    )

"""Widths and depths of a compact VLA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sop_bench.policy.base import EXECUTE_STEPS

HEAD_FIELDS = (
    "context_dim",
    "flow_dim",
    "flow_blocks",
    "chunk_steps",
    "flow_draws",
    "euler_steps",
    "execute_steps",
    "family_execute_steps",
    "head_per_family",
)
"""Of `NetworkConfig`: those that shape the action head and leave the encoder as it is."""


@dataclass(frozen=True)
class CameraNetwork:
    """Convolutions of one camera's encoder (see `camera_encoder.CameraEncoder`).

    Attributes:
        stem_channels, channels: Of the two strided convolutions; the FiLM blocks keep `channels`.
        kernels: Kernel size of each FiLM block.
        grid_channels: Channels of the grid that is flattened.
        vector_dim: Length of the camera's vector.
    """

    stem_channels: int = 32
    channels: int = 64
    kernels: tuple[int, ...] = (3, 3)
    grid_channels: int = 32
    vector_dim: int = 128


@dataclass(frozen=True)
class NetworkConfig:
    """Widths and depths.

    Attributes:
        max_words: Longest instruction, in words.
        word_dim, language_dim: Embedding of one word, and of the whole instruction.
        scene_camera, wrist_camera: Encoders of cameras that see the whole scene, from which products are
            named, and of cameras called ``wrist...``, which see a few centimetres and locate.
        grounding_dim: Hidden width of the read-out of labels.
        context_dim: What the flow head is conditioned on.
        flow_dim, flow_blocks: Width and residual blocks of the flow head.
        chunk_steps: H, actions in a chunk.
        flow_draws: Draws of (time, noise) for each training sample.
        euler_steps: Integration steps at inference.
        execute_steps: Steps of a chunk that are executed before the next is asked for.
        family_execute_steps: Families of tasks that ask for it sooner or later, and after how many steps.
        head_per_family: A generalist has a flow head for each family of its tasks, instead of one for all.
    """

    max_words: int = 12
    word_dim: int = 32
    language_dim: int = 64
    scene_camera: CameraNetwork = CameraNetwork(16, 32, (3, 3, 3), vector_dim=64)
    wrist_camera: CameraNetwork = CameraNetwork(16, 32, (3,), 16, vector_dim=96)
    grounding_dim: int = 256
    context_dim: int = 256
    flow_dim: int = 384
    flow_blocks: int = 2
    chunk_steps: int = 16
    flow_draws: int = 2
    euler_steps: int = 2
    execute_steps: int = EXECUTE_STEPS
    family_execute_steps: tuple[tuple[str, int], ...] = ()
    head_per_family: bool = False

    def of_camera(self, name: str) -> CameraNetwork:
        """The encoder of the camera called `name`."""
        return self.wrist_camera if name.startswith("wrist") else self.scene_camera

    def with_head_of(self, other: NetworkConfig) -> NetworkConfig:
        """This encoder below the action head of `other`."""
        return replace(self, **{name: getattr(other, name) for name in HEAD_FIELDS})

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> NetworkConfig:
        """From plain data, as `dataclasses.asdict` writes it."""
        cameras = {
            name: CameraNetwork(**{**data[name], "kernels": tuple(data[name]["kernels"])})
            for name in ("scene_camera", "wrist_camera")
        }
        horizons = tuple((family, steps) for family, steps in data.get("family_execute_steps", ()))
        return cls(**{**data, **cameras, "family_execute_steps": horizons})

    @classmethod
    def tiny(cls) -> NetworkConfig:
        """A network for tests: the same parts, milliseconds to train."""
        camera = CameraNetwork(stem_channels=4, channels=8, kernels=(3,), grid_channels=4, vector_dim=16)
        return cls(
            word_dim=4,
            language_dim=8,
            scene_camera=camera,
            wrist_camera=camera,
            grounding_dim=16,
            context_dim=32,
            flow_dim=32,
            flow_blocks=1,
            chunk_steps=8,
        )

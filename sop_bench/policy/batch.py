"""What a policy is trained on: a batch of frames with the actions that followed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TrainingBatch:
    """B frames, seen through the frozen encoder, with chunks of H actions of A joints.

    Attributes:
        features: (B, F) float32, from `CompactVLA.encode`.
        state: (B, P) float32 proprioception, as observed.
        commanded_rad: (B, A) float32 joint targets last executed before the frame.
        chunk_rad: (B, H, A) float32 joint targets executed from the frame on, absolute.
        valid: (B, H) bool, which of them may be imitated (see `sop_bench.policy.chunks`).
    """

    features: Tensor
    state: Tensor
    commanded_rad: Tensor
    chunk_rad: Tensor
    valid: Tensor

    def __len__(self) -> int:
        return len(self.state)


@dataclass(frozen=True)
class PixelBatch:
    """The same, before the encoder: for training everything end to end.

    Attributes:
        images: Camera name to (B, h, w, 3) uint8.
        tokens: (B, L) int64 word ids.
        state, commanded_rad, chunk_rad, valid: As in `TrainingBatch`.
    """

    images: Mapping[str, Tensor]
    tokens: Tensor
    state: Tensor
    commanded_rad: Tensor
    chunk_rad: Tensor
    valid: Tensor

    def __len__(self) -> int:
        return len(self.state)

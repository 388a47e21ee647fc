"""How frames reach the policy: as features kept since their episode came, or as images read when sampled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sop_bench.episode import Episode
from sop_bench.learner.features import FrameFeatures, KnownFeatures
from sop_bench.learner.frames import FrameRows
from sop_bench.learner.pixels import PixelCache
from sop_bench.learner.replay import EpisodeRecord
from sop_bench.policy.batch import PixelBatch, TrainingBatch
from sop_bench.policy.vla import CompactVLA, Trainable


class PolicyInputs:
    """What a policy is given of frames: features of its encoder, or images if the encoder is trained too.

    Args:
        mode: What of the policy is trained.
        known: Features that other learners of this process have computed; added to.

    Attributes:
        feature_dim: Length of the features that are kept of a frame; 0 if images are read.
    """

    def __init__(self, policy: CompactVLA, mode: Trainable, known: KnownFeatures | None = None):
        self._policy = policy
        self._from_pixels = mode == "all"
        self._features = FrameFeatures(policy, known)
        self._pixels = PixelCache(policy.cameras)
        self.feature_dim = 0 if self._from_pixels else policy.config.feature_dim

    def features(
        self, path: Path, episode: Episode, steps: NDArray[np.integer], *, shared: bool
    ) -> NDArray[np.float16]:
        """What is to be kept of some steps of the episode at `path`, (steps, feature_dim).

        Args:
            shared: Other learners read this file too, always for the same steps.

        Raises:
            CorruptDataError: The file is damaged or has no image of a step.
        """
        if self._from_pixels or not len(steps):
            return np.zeros((len(steps), self.feature_dim), np.float16)
        return self._features.of(path, episode, steps, shared=shared)

    def losses(
        self, frames: FrameRows, records: Sequence[EpisodeRecord], generator: torch.Generator
    ) -> Tensor:
        """(B,) losses of the policy on the given frames, of the episodes in `records`.

        Raises:
            CorruptDataError: Images are read, and a file is gone or damaged, or has none of a frame.
        """
        state, commanded = torch.from_numpy(frames.state), torch.from_numpy(frames.commanded_rad)
        chunk, valid = torch.from_numpy(frames.chunk_rad), torch.from_numpy(frames.valid)
        if not self._from_pixels:
            features = torch.from_numpy(frames.features)
            return self._policy.loss(TrainingBatch(features, state, commanded, chunk, valid), generator)
        tokens = self._policy.tokenizer([records[number].instruction for number in frames.episode])
        images = {
            camera: torch.from_numpy(values)
            for camera, values in self._pixels.images(frames, records).items()
        }
        batch = PixelBatch(images, tokens, state, commanded, chunk, valid)
        return self._policy.loss_from_pixels(batch, generator)

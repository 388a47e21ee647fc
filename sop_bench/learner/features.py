"""Features of frames from a frozen encoder, computed once when an episode arrives and not at every step."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sop_bench.episode import Episode, load_episode
from sop_bench.policy.vla import CompactVLA

FeatureKey = tuple[str, str, str]  # of a checkpoint's content, a file, and the episode in it
KnownFeatures = MutableMapping[FeatureKey, NDArray[np.float16]]


class FrameFeatures:
    """What the encoder of one checkpoint makes of the frames of episode files.

    Args:
        known: Features that others of this process have computed; those of shared files are added to it.
    """

    def __init__(self, policy: CompactVLA, known: KnownFeatures | None = None):
        self._policy, self._encoder = policy, policy.version.content_hash
        self._known = {} if known is None else known

    def of(
        self, path: Path, episode: Episode, steps: NDArray[np.integer], *, shared: bool
    ) -> NDArray[np.float16]:
        """Features of the given steps of the episode at `path`, (steps, feature_dim).

        Args:
            shared: Others read this file too, always for the same steps.

        Raises:
            CorruptDataError: The file is damaged or has no image of a step.
        """
        if not shared:
            return self._encode(path, episode, steps)
        key = (self._encoder, str(path), episode.header.episode_id)
        if key not in self._known:
            self._known[key] = self._encode(path, episode, steps)
        return self._known[key]

    def _encode(self, path: Path, episode: Episode, steps: NDArray[np.integer]) -> NDArray[np.float16]:
        with_pixels = load_episode(path, cameras=self._policy.cameras)
        images = {
            camera: np.stack([with_pixels.image(camera, int(step)) for step in steps])
            for camera in self._policy.cameras
        }
        instructions = [episode.header.instruction] * len(steps)
        return self._policy.encode(images, instructions, episode.frames.state[steps]).astype(np.float16)

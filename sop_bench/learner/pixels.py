"""Images of sampled frames, read when they are needed: only for training the encoder too."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sop_bench.episode import Episode, load_episode
from sop_bench.learner.frames import FrameRows
from sop_bench.learner.replay import EpisodeRecord

CAPACITY_BYTES = 256 * 2**20


class PixelCache:
    """The images of recently sampled episodes, compressed, up to a fixed number of bytes.

    Args:
        cameras: Which images.
        capacity_bytes: Least recently used episodes beyond this are dropped.
    """

    def __init__(self, cameras: Sequence[str], capacity_bytes: int = CAPACITY_BYTES):
        self._cameras, self._capacity = tuple(cameras), capacity_bytes
        self._episodes: OrderedDict[str, tuple[Episode, int]] = OrderedDict()
        self.nbytes = 0

    def images(self, frames: FrameRows, records: Sequence[EpisodeRecord]) -> dict[str, NDArray[np.uint8]]:
        """Camera name to (B, h, w, 3), the images of the given frames.

        Raises:
            CorruptDataError: An episode's file is gone or damaged, or has no image of a frame.
        """
        episodes = [self._episode(records[number].path) for number in frames.episode]
        return {
            camera: np.stack(
                [
                    episode.image(camera, int(step))
                    for episode, step in zip(episodes, frames.step, strict=True)
                ]
            )
            for camera in self._cameras
        }

    def _episode(self, path: str) -> Episode:
        if path not in self._episodes:
            episode = load_episode(Path(path), cameras=self._cameras)
            size = sum(len(png) for pngs in episode.images_png.values() for png in pngs if png)
            self._episodes[path] = (episode, size)
            self.nbytes += size
            while self.nbytes > self._capacity and len(self._episodes) > 1:
                _, (_, freed) = self._episodes.popitem(last=False)
                self.nbytes -= freed
        self._episodes.move_to_end(path)
        return self._episodes[path][0]

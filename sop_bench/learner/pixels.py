"""Images of sampled frames, read when they are needed: only for training the encoder too."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sop_bench.episode import load_episode
from sop_bench.errors import CorruptDataError
from sop_bench.learner.frames import FrameRows
from sop_bench.learner.replay import EpisodeRecord

CAPACITY_BYTES = 512 * 2**20


@dataclass(frozen=True)
class _Decoded:
    """The recorded images of an episode, and where each step's stand among them (-1: not recorded)."""

    images: dict[str, NDArray[np.uint8]]
    place: NDArray[np.intp]

    @property
    def nbytes(self) -> int:
        return sum(image.nbytes for image in self.images.values())


class PixelCache:
    """The images of recently sampled episodes, decoded, up to a fixed number of bytes.

    Decoding a batch anew costs half as much as the gradient step it is for.

    Args:
        cameras: Which images.
        capacity_bytes: Least recently used episodes beyond this are dropped.
    """

    def __init__(self, cameras: Sequence[str], capacity_bytes: int = CAPACITY_BYTES):
        self._cameras, self._capacity = tuple(cameras), capacity_bytes
        self._episodes: OrderedDict[str, _Decoded] = OrderedDict()
        self.nbytes = 0

    def images(self, frames: FrameRows, records: Sequence[EpisodeRecord]) -> dict[str, NDArray[np.uint8]]:
        """Camera name to (B, h, w, 3), the images of the given frames.

        Raises:
            CorruptDataError: An episode's file is gone or damaged, or has no image of a frame.
        """
        found = [
            (self._episode(records[number].path), int(step))
            for number, step in zip(frames.episode, frames.step, strict=True)
        ]
        missing = [step for episode, step in found if episode.place[step] < 0]
        if missing:
            raise CorruptDataError(
                f"{len(missing)} sampled frames have no images, first at step {missing[0]}; expected images "
                f"of every frame that is trained on. Record them, or train only the head."
            )
        return {
            camera: np.stack([episode.images[camera][episode.place[step]] for episode, step in found])
            for camera in self._cameras
        }

    def _episode(self, path: str) -> _Decoded:
        if path not in self._episodes:
            self._episodes[path] = decoded = _decode(path, self._cameras)
            self.nbytes += decoded.nbytes
            while self.nbytes > self._capacity and len(self._episodes) > 1:
                self.nbytes -= self._episodes.popitem(last=False)[1].nbytes
        self._episodes.move_to_end(path)
        return self._episodes[path]


def _decode(path: str, cameras: Sequence[str]) -> _Decoded:
    episode = load_episode(Path(path), cameras=cameras)
    recorded = [
        step
        for step in range(len(episode.frames))
        if all(episode.images_png[camera][step] is not None for camera in cameras)
    ]
    place = np.full(len(episode.frames), -1, np.intp)
    place[recorded] = np.arange(len(recorded))
    images = {
        camera: np.stack([episode.image(camera, step) for step in recorded]) for camera in cameras if recorded
    }
    return _Decoded(images, place)

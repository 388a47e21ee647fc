"""Pixels are read when sampled, and no more of them are kept than asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import ReachWorld

from sop_bench.episode import load_episode, save_episode
from sop_bench.errors import CorruptDataError
from sop_bench.learner.frames import FrameRows
from sop_bench.learner.pixels import PixelCache
from sop_bench.learner.replay import EpisodeRecord


def frames(episodes: list[int], steps: list[int]) -> FrameRows:
    nothing = np.zeros((len(steps), 0), np.float32)
    numbers, places = np.array(episodes, np.int32), np.array(steps, np.int32)
    return FrameRows(numbers, places, nothing, nothing, nothing, nothing, nothing.astype(bool))


def record(path: Path) -> EpisodeRecord:
    return EpisodeRecord(path.stem, str(path), "", 0, 0, 1, 0.0, 0.0)


def test_images_are_those_of_the_files_within_the_capacity(world: ReachWorld):
    files = sorted(world.demos.iterdir())
    records = [record(path) for path in files]
    cache = PixelCache(["front"], capacity_bytes=40_000)
    for _ in range(2):
        for number, path in enumerate(files):
            image = load_episode(path, cameras=["front"]).image("front", 3)
            np.testing.assert_array_equal(cache.images(frames([number], [3]), records)["front"][0], image)
            assert 0 < cache.nbytes <= 40_000


def test_a_frame_that_was_not_recorded_is_refused(world: ReachWorld, tmp_path: Path):
    episode = load_episode(sorted(world.demos.iterdir())[0], cameras=["front"])
    pngs = list(episode.images_png["front"])
    pngs[2] = None
    bare = save_episode(
        type(episode)(episode.header, episode.frames, {"front": pngs}), tmp_path / "e.parquet"
    )
    cache = PixelCache(["front"])
    assert cache.images(frames([0], [3]), [record(bare)])["front"].shape == (1, 16, 16, 3)
    with pytest.raises(CorruptDataError, match="1 sampled frames have no images, first at step 2"):
        cache.images(frames([0], [2]), [record(bare)])

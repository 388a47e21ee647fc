"""Images that are read by the row, and are the same as in memory."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sop_bench.errors import CorruptDataError
from sop_bench.policy.stored_images import ImageFile, StoredImages

SHAPES = (3, 1, 4)  # images in each of three files


def some_images(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 5, 7, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("shards")
    paths = [folder / f"{count}.npz" for count in SHAPES]
    for path, count in zip(paths, SHAPES, strict=True):
        np.savez(path, **{"state": np.zeros(count), "images.front": some_images(count)})
    return paths


def stored(files: list[Path]) -> StoredImages:
    return StoredImages([ImageFile.of(path, "images.front") for path in files])


@given(rows=st.lists(st.integers(0, sum(SHAPES) - 1)))
def test_any_rows_of_several_files_are_those_of_the_arrays(files, rows):
    images, whole = stored(files), np.concatenate([some_images(count) for count in SHAPES])
    assert images.shape == whole.shape
    assert_array_equal(images[np.array(rows, int)], whole[np.array(rows, int)])


def test_slices_are_rows_too(files):
    images, whole = stored(files), np.concatenate([some_images(count) for count in SHAPES])
    assert_array_equal(images[2:6], whole[2:6])
    assert_array_equal(images, whole)


def test_rows_that_do_not_exist_are_refused(files):
    for row in (-1, sum(SHAPES)):
        with pytest.raises(IndexError, match="allowed: 0 to 7"):
            stored(files)[np.array([row])]


def test_another_process_gets_the_place_and_not_the_pixels(files):
    images = stored(files)
    sent = pickle.dumps(images)
    assert len(sent) < 1500
    assert_array_equal(pickle.loads(sent)[0:8], images[0:8])


def test_a_compressed_shard_and_one_without_the_camera_are_refused(tmp_path):
    path = tmp_path / "shard.npz"
    np.savez_compressed(path, **{"images.front": some_images(2)})
    with pytest.raises(CorruptDataError, match=r"images\.front is compressed"):
        ImageFile.of(path, "images.front")
    with pytest.raises(CorruptDataError, match="no item named"):
        ImageFile.of(path, "images.side")


def test_a_file_that_lost_its_end_or_is_gone_is_called_so(tmp_path):
    path = tmp_path / "shard.npz"
    np.savez(path, **{"images.front": some_images(2)})
    images = stored([path])
    path.write_bytes(path.read_bytes()[:250])
    with pytest.raises(CorruptDataError, match="it ends too early"):
        images[0:2]
    path.unlink()
    with pytest.raises(CorruptDataError, match="not a readable shard"):
        images[0:2]

"""Episodes survive the disk whole, and say clearly when they have not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sop_bench.episode import (
    Episode,
    EpisodeHeader,
    Frames,
    Source,
    decode_png,
    encode_png,
    load_episode,
    load_header,
    save_episode,
)
from sop_bench.errors import CorruptDataError
from sop_bench.robot import Outcome


def make_episode(length: int = 7, segments: tuple[int, ...] = (), seed: int = 0) -> Episode:
    """An episode of noise; `segments` are the steps at which control changes hands."""
    rng = np.random.default_rng(seed)
    segment_id = np.zeros(length, np.int32)
    for start in segments:
        segment_id[start:] += 1
    header = EpisodeHeader(
        run_id="run",
        episode_id=f"episode-{seed}",
        robot="fake",
        robot_index=1,
        station={"seed": 3, "light": 0.5, "name": "bench"},
        task="reach",
        split="train",
        seed=17,
        instruction="reach the red dot",
        policy_version=4,
        policy_hash="abc",
        control_hz=10.0,
        started_s=12.5,
        outcome=Outcome.SUCCESS,
        reason="reached",
        takeovers=("no progress",) * (len(segments) > 0),
        intervention_s=0.3,
        operator_s=0.4,
    )
    frames = Frames(
        step=np.arange(length, dtype=np.int32),
        policy_version=np.full(length, 4, np.int32),
        source=(segment_id % 2).astype(np.int8),
        segment_id=segment_id,
        state=rng.normal(size=(length, 5)).astype(np.float32),
        commanded_rad=rng.normal(size=(length, 2)).astype(np.float32),
        requested_rad=rng.normal(size=(length, 2)).astype(np.float32),
        executed_rad=rng.normal(size=(length, 2)).astype(np.float32),
        monotonic_s=12.5 + np.arange(length) / 10,
        wall_s=np.full(length, 1e9),
    )
    image = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Episode(header, frames, {"front": [encode_png(image)] * length})


def test_an_image_survives_png_exactly() -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 128, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode_png(encode_png(image)), image)


@settings(max_examples=20, deadline=None)
@given(length=st.integers(1, 40), seed=st.integers(0, 1000), data=st.data())
def test_an_episode_survives_the_disk_exactly(
    tmp_path_factory: pytest.TempPathFactory, length: int, seed: int, data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(1, max(1, length - 1)), max_size=3, unique=True).map(sorted))
    episode = make_episode(length, tuple(cuts), seed)
    path = save_episode(episode, tmp_path_factory.mktemp("episode") / "one.parquet")
    loaded = load_episode(path, cameras=["front"])
    assert loaded.header == episode.header
    for name in Frames.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(loaded.frames, name), getattr(episode.frames, name))
        assert getattr(loaded.frames, name).dtype == getattr(episode.frames, name).dtype
    np.testing.assert_array_equal(loaded.image("front", length - 1), episode.image("front", length - 1))


def test_pixels_are_not_loaded_unless_asked_for(tmp_path: Path) -> None:
    path = save_episode(make_episode(), tmp_path / "one.parquet")
    assert not load_episode(path).images_png


def test_the_header_alone_can_be_read(tmp_path: Path) -> None:
    episode = make_episode()
    assert load_header(save_episode(episode, tmp_path / "one.parquet")) == episode.header


def test_segment_ends_stop_at_every_hand_over() -> None:
    frames = make_episode(7, segments=(2, 5)).frames
    np.testing.assert_array_equal(frames.segment_end(), [2, 2, 5, 5, 5, 7, 7])


def test_a_helped_success_is_no_autonomous_success() -> None:
    header = make_episode(7, segments=(2,)).header
    assert header.success
    assert not header.autonomous_success
    assert replace(header, takeovers=()).autonomous_success


def test_writing_leaves_no_partial_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyarrow.parquet.write_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_episode(make_episode(), tmp_path / "one.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "foreign", "missing"])
def test_a_damaged_file_is_named_and_explained(tmp_path: Path, damage: str) -> None:
    path = save_episode(make_episode(30), tmp_path / "one.parquet")
    content = bytearray(path.read_bytes())
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[200] ^= 0xFF
        path.write_bytes(content)
    elif damage == "foreign":
        path.write_text("not an episode")
    else:
        path.unlink()
    with pytest.raises(CorruptDataError, match=r"one\.parquet"):
        load_episode(path, cameras=["front"])


def test_a_camera_that_was_not_recorded_is_named(tmp_path: Path) -> None:
    path = save_episode(make_episode(), tmp_path / "one.parquet")
    with pytest.raises(CorruptDataError, match="wrist"):
        load_episode(path, cameras=["wrist"])


def test_sources_have_stable_numbers_on_disk() -> None:
    assert [(source.name, int(source)) for source in Source] == [("POLICY", 0), ("EXPERT", 1), ("HUMAN", 2)]

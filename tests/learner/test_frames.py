"""The frame table: chunks as the policy's own function cuts them, and memory by the frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import TASKS, ReachWorld
from hypothesis import given, settings
from hypothesis import strategies as st

from sop_bench.episode import load_episode
from sop_bench.learner.frames import FrameTable, GrowingArray
from sop_bench.learner.replay import Replay
from sop_bench.learner.sampler import OFFLINE, ONLINE, Draw
from sop_bench.policy.chunks import chunk_targets
from sop_bench.posttrain.base import Selection
from sop_bench.posttrain.behaviour_cloning import BehaviourCloning

ROBOT_HOURS, CONTROL_HZ = 16, 10


@given(st.lists(st.integers(0, 50_000), max_size=4), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_growing_array_holds_what_was_appended(lengths: list[int], seed: int):
    rng = np.random.default_rng(seed)
    parts = [rng.integers(0, 99, (length, 2)) for length in lengths]
    array = GrowingArray((2,), np.int64)
    for part in parts:
        array.append(part)
    expected = np.concatenate([np.empty((0, 2), np.int64), *parts])
    assert len(array) == len(expected)
    np.testing.assert_array_equal(array.array(), expected)
    if len(expected):
        index = rng.integers(len(expected), size=(3, 4))
        np.testing.assert_array_equal(array.take(index), expected[index])


def test_chunks_are_those_of_the_policys_own_function(world: ReachWorld):
    table = FrameTable(feature_dim=3, state_dim=4, action_dim=2, horizon=8)
    for number, path in enumerate(sorted(world.demos.iterdir())[:3]):
        episode = load_episode(path)
        selection = BehaviourCloning().select(episode)
        features = np.full((len(selection.steps), 3), number)
        rows = table.append(number, episode, selection, features)
        taken = table.take(rows)
        chunk, valid = chunk_targets(
            episode.frames, selection.steps, selection.valid_steps, selection.hold_after, 8
        )
        np.testing.assert_array_equal(taken.chunk_rad, chunk)
        np.testing.assert_array_equal(taken.valid, valid)
        np.testing.assert_array_equal(taken.state, episode.frames.state[selection.steps])
        assert (taken.episode == number).all()
        assert (taken.features == number).all()


def filled_replay(world: ReachWorld, frames: int, feature_dim: int = 512) -> Replay:
    """A replay of `frames` frames, with as many numbers as the bimanual reference robot has."""
    replay = Replay(TASKS, FrameTable(feature_dim, 4, 2, 16))
    episode = load_episode(sorted(world.demos.iterdir())[0])
    selection = BehaviourCloning().select(episode)
    features = np.zeros((len(selection.steps), feature_dim), np.float32)
    index = 0
    while len(replay) < frames:
        header = type(episode.header)(**{**vars(episode.header), "episode_id": f"e{index}"})
        copy = type(episode)(header, episode.frames)
        replay.add(copy, selection, features, source=ONLINE, path=Path("e"), uploaded_s=0, ingested_s=0)
        index += 1
    return replay


def test_sixteen_robot_hours_fit_in_two_gibibytes(world: ReachWorld):
    replay = filled_replay(world, 3000)
    # The reference robot has 24 numbers of proprioception and 12 joints instead of 4 and 2.
    more_bytes = 4 * ((24 - 4) + 2 * (12 - 2))
    per_frame = replay.nbytes / len(replay) + more_bytes
    assert per_frame * ROBOT_HOURS * 3600 * CONTROL_HZ < 2 * 2**30


@pytest.mark.slow
def test_the_memory_of_a_million_frames_is_that_of_the_index(world: ReachWorld):
    import psutil

    before = psutil.Process().memory_info().rss
    replay = filled_replay(world, ROBOT_HOURS * 3600 * CONTROL_HZ)
    replay.sample(Draw(np.zeros(128, int), np.ones(128, int)), np.random.default_rng(0))
    grown = psutil.Process().memory_info().rss - before
    assert grown < 1.3 * replay.nbytes
    assert grown < 2 * 2**30


def helped_and_own(world: ReachWorld, share: float | None) -> tuple[Replay, int]:
    """A replay of one online episode whose first 5 frames are helped and the others the policy's own."""
    episode = load_episode(sorted(world.demos.iterdir())[0])
    frames = type(episode.frames)(
        **{**vars(episode.frames), "source": (np.arange(len(episode.frames)) < 5).astype(np.int8)}
    )
    count = len(frames)
    steps = np.arange(count, dtype=np.int32)
    ones = np.ones(count, np.int32)
    selection = Selection(steps, ones, ones == 0, ones.astype(np.float32))
    replay = Replay(TASKS, FrameTable(1, 4, 2, 8), share)
    replay.add(
        type(episode)(episode.header, frames),
        selection,
        np.zeros((count, 1)),
        source=ONLINE,
        path=Path("e"),
        uploaded_s=0,
        ingested_s=0,
    )
    return replay, count


@pytest.mark.parametrize("share", [None, 0.5, 0.9])
def test_interventions_have_the_share_that_the_algorithm_asks_for(world: ReachWorld, share: float | None):
    replay, count = helped_and_own(world, share)
    draw = Draw(np.zeros(20_000, int), np.full(20_000, ONLINE))
    helped = (replay.sample(draw, np.random.default_rng(0)) < 5).mean()
    assert helped == pytest.approx(5 / count if share is None else share, abs=0.02)


def test_an_episode_is_added_once_and_counted_in_its_group(world: ReachWorld):
    replay = filled_replay(world, 100)
    before = replay.counts
    path = sorted(world.demos.iterdir())[0]
    episode = load_episode(path)
    selection = BehaviourCloning().select(episode)
    features = np.zeros((len(selection.steps), 512))
    for _ in range(2):
        replay.add(episode, selection, features, source=OFFLINE, path=path, uploaded_s=1, ingested_s=2)
    added = replay.counts - before
    assert added.sum() == added[TASKS.index(episode.header.task), OFFLINE] == len(selection.steps)

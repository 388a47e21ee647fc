"""Chunks end where their segment ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sop_bench.episode import Frames, Source
from sop_bench.errors import ContractError
from sop_bench.policy.chunks import chunk_targets, supervised_steps


def frames_of(sources: list[Source]) -> Frames:
    """An episode whose executed action at step t is t, so that targets name the step they come from."""
    steps = len(sources)
    source = np.array(sources, np.int8)
    segment = np.concatenate([[0], np.cumsum(np.diff(source) != 0)]).astype(np.int32)
    action = np.arange(steps, dtype=np.float32)[:, None]
    clock = np.zeros(steps)
    counter = np.arange(steps, dtype=np.int32)
    return Frames(
        step=counter,
        policy_version=counter,
        source=source,
        segment_id=segment,
        state=action,
        commanded_rad=action,
        requested_rad=action,
        executed_rad=action,
        monotonic_s=clock,
        wall_s=clock,
    )


SOURCES = st.lists(st.sampled_from(list(Source)), min_size=1, max_size=40)


@given(SOURCES, st.integers(1, 20), st.booleans())
def test_no_chunk_crosses_a_segment(sources, horizon, success):
    frames = frames_of(sources)
    steps, valid_steps, hold_after = supervised_steps(frames, success=success)
    chunk, valid = chunk_targets(frames, steps, valid_steps, hold_after, horizon)
    came_from = chunk[..., 0].astype(int)
    assert (frames.source[steps] != Source.POLICY).all()
    assert (frames.segment_id[came_from] == frames.segment_id[steps][:, None]).all()
    assert valid[:, 0].all()


@given(SOURCES, st.integers(1, 20), st.booleans())
def test_valid_targets_are_the_next_actions_in_order(sources, horizon, success):
    frames = frames_of(sources)
    steps, valid_steps, hold_after = supervised_steps(frames, success=success)
    chunk, valid = chunk_targets(frames, steps, valid_steps, hold_after, horizon)
    expected = np.minimum(steps[:, None] + np.arange(horizon), len(sources) - 1)
    assert (chunk[..., 0][valid] == expected[valid]).all()


def test_a_hand_back_is_masked_and_success_is_held():
    frames = frames_of([Source.EXPERT] * 2 + [Source.POLICY] + [Source.EXPERT] * 2)
    steps, valid_steps, hold_after = supervised_steps(frames, success=True)
    chunk, valid = chunk_targets(frames, steps, valid_steps, hold_after, 3)
    assert valid.tolist() == [[True, True, False], [True, False, False], [True] * 3, [True] * 3]
    assert chunk[..., 0].tolist() == [[0, 1, 1], [1, 1, 1], [3, 4, 4], [4, 4, 4]]


def test_a_failed_episode_is_never_held():
    frames = frames_of([Source.EXPERT] * 3)
    _, valid = chunk_targets(frames, *supervised_steps(frames, success=False), 4)
    assert valid.sum(axis=1).tolist() == [3, 2, 1]


def test_a_chunk_outside_the_episode_is_refused():
    with pytest.raises(ContractError, match="Chunks reach outside an episode of 3 steps"):
        chunk_targets(
            frames_of([Source.EXPERT] * 3), np.array([2]), np.array([2]), np.array([False]), horizon=4
        )

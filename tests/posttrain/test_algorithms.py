"""Which frames the imitation algorithms train on, and how far their chunks reach."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sop_bench.episode import Episode, EpisodeHeader, Frames, Source
from sop_bench.errors import ConfigurationError
from sop_bench.policy.chunks import chunk_targets
from sop_bench.posttrain.base import Algorithm
from sop_bench.posttrain.behaviour_cloning import BehaviourCloning
from sop_bench.posttrain.hg_dagger import HGDagger
from sop_bench.robot import Outcome

P, E = Source.POLICY, Source.EXPERT


def episode(segments: list[tuple[Source, int]], outcome: Outcome = Outcome.SUCCESS) -> Episode:
    """An episode of the given runs of steps; the action of step i is i."""
    source = np.repeat([s for s, _ in segments], [n for _, n in segments]).astype(np.int8)
    length = len(source)
    change = np.concatenate([[0], np.cumsum(np.diff(source) != 0)])
    action = np.arange(length, dtype=np.float32)[:, None]
    frames = Frames(
        step=np.arange(length, dtype=np.int32),
        policy_version=np.zeros(length, np.int32),
        source=source,
        segment_id=change.astype(np.int32),
        state=action,
        commanded_rad=action,
        requested_rad=action,
        executed_rad=action,
        monotonic_s=np.arange(length) / 10,
        wall_s=np.zeros(length),
    )
    header = EpisodeHeader(
        run_id="r", episode_id="e", robot="reach", robot_index=0, station={}, task="reach", split="train",
        seed=0, instruction="reach", policy_version=1, policy_hash="h", control_hz=10, started_s=0,
        outcome=outcome,
    )  # fmt: skip
    return Episode(header, frames)


HELPED = [(P, 12), (E, 5), (P, 3), (E, 4)]


def test_behaviour_cloning_skips_the_pushes_of_a_demonstration():
    selection = BehaviourCloning().select(episode([(E, 3), (P, 2), (E, 4)]))
    assert selection.steps.tolist() == [0, 1, 2, 5, 6, 7, 8]
    assert selection.valid_steps.tolist() == [3, 2, 1, 4, 3, 2, 1]
    assert selection.hold_after.tolist() == [False] * 3 + [True] * 4


def test_interventions_only_takes_the_operators_steps_also_of_failures():
    for outcome in (Outcome.SUCCESS, Outcome.FAILURE):
        selection = HGDagger().select(episode(HELPED, outcome))
        assert selection.steps.tolist() == [12, 13, 14, 15, 16, 20, 21, 22, 23]
        assert selection.hold_after.any() == (outcome is Outcome.SUCCESS)


def test_the_last_action_is_never_held_at_a_hand_back():
    selection = HGDagger().select(episode([(E, 5), (P, 3)]))
    assert not selection.hold_after.any()


def test_successes_take_every_step_of_a_success_and_nothing_of_a_failure():
    algorithm = HGDagger("successes")
    assert len(algorithm.select(episode(HELPED)).steps) == 24
    assert len(algorithm.select(episode(HELPED, Outcome.TIMEOUT)).steps) == 0


def test_weighted_leaves_out_what_led_to_a_takeover():
    selection = HGDagger("weighted").select(episode(HELPED))
    assert selection.steps.tolist() == [0, 1, 2, 3, 12, 13, 14, 15, 16, 20, 21, 22, 23]
    assert selection.valid_steps[:4].tolist() == [4, 3, 2, 1]
    failed = HGDagger("weighted").select(episode(HELPED, Outcome.FAILURE))
    assert failed.steps.tolist() == [12, 13, 14, 15, 16, 20, 21, 22, 23]


def test_only_the_weighted_mode_fixes_a_share():
    assert HGDagger().intervention_share is None
    assert HGDagger("weighted").intervention_share == 0.5


def test_an_unknown_mode_names_the_closest():
    with pytest.raises(ConfigurationError, match="Did you mean 'interventions'"):
        HGDagger("intervention")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "algorithm",
    [BehaviourCloning(), HGDagger(), HGDagger("successes"), HGDagger("weighted")],
    ids=lambda algorithm: algorithm.name,
)
@given(
    segments=st.lists(st.tuples(st.sampled_from([P, E]), st.integers(1, 20)), min_size=1, max_size=6),
    outcome=st.sampled_from([Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT]),
)
def test_no_chunk_crosses_a_hand_over(
    algorithm: Algorithm, segments: list[tuple[Source, int]], outcome: Outcome
):
    whole = episode(segments, outcome)
    selection = algorithm.select(whole)
    chunks, valid = chunk_targets(
        whole.frames, selection.steps, selection.valid_steps, selection.hold_after, horizon=8
    )
    segment = whole.frames.segment_id
    for row, step in enumerate(selection.steps):
        reached = chunks[row, valid[row], 0].astype(int)
        assert (segment[reached] == segment[step]).all()
    assert not (selection.hold_after.any() and outcome is not Outcome.SUCCESS)

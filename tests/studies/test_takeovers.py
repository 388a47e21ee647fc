"""Takeovers from bad policies are counted by policy, and what was lost before is counted apart."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import ReachRobot, ReachWorld

from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.studies.actors import SHAKY, actor
from sop_bench.studies.stats import wilson
from sop_bench.studies.takeovers import (
    BAD_POLICIES,
    BEYOND_SAVING,
    FAULT,
    TakeoverAttempt,
    TakeoverCount,
    TakeoverRate,
    attempt_takeover,
    summary,
)

RATE = summary(
    [
        TakeoverAttempt("random", True, True, "placed"),
        TakeoverAttempt("smooth", True, False, "dropped"),
        TakeoverAttempt("random", False, True, "placed"),
        TakeoverAttempt("random", False, False, BEYOND_SAVING),
    ]
)


def test_the_rate_is_of_what_was_taken_over_and_nothing_lost_before_helps_it():
    assert RATE.by_policy["random"] == TakeoverCount(successes=1, taken_over=1, lost=2)
    assert RATE.total == TakeoverCount(successes=1, taken_over=2, lost=2)
    assert RATE.total.rate == wilson(1, 2)


def test_reasons_are_those_of_failed_takeovers_and_of_the_lost():
    assert RATE.failures == {"dropped": 1}
    assert RATE.lost_reasons == {"placed": 1, BEYOND_SAVING: 1}


def test_a_record_comes_back_as_it_was_and_holds_the_interval():
    data = RATE.as_dict()
    assert TakeoverRate.from_dict(data) == RATE
    assert data["rate"] == wilson(1, 2).as_dict()
    assert data["by_policy"]["abrupt"]["rate"]["mean"] is None  # of nothing there is no rate


def test_bad_policies_take_turns_and_equal_episodes_end_equally(world: ReachWorld):
    requests = [EpisodeRequest("reach/far", seed) for seed in range(8)]
    attempts = [attempt_takeover("reach", 0, request, i) for i, request in enumerate(requests)]
    assert [attempt.policy for attempt in attempts] == [*BAD_POLICIES, *BAD_POLICIES]
    assert attempts == [attempt_takeover("reach", 0, request, i) for i, request in enumerate(requests)]
    assert any(attempt.taken_over and attempt.success for attempt in attempts)


def test_a_robot_that_breaks_before_the_takeover_is_lost(world: ReachWorld):
    attempt = attempt_takeover("reach", 666, EpisodeRequest("reach/far", 0), 0)
    assert attempt == TakeoverAttempt("random", False, False, FAULT)


@pytest.mark.parametrize("seed", [0, 3])
def test_the_shaky_policy_goes_where_the_expert_goes_but_not_straight(seed: int):
    robot = ReachRobot(0)
    straight = run_episode(robot, actor("expert", robot), EpisodeRequest("reach/far", seed)).frames
    shaky = run_episode(robot, actor(SHAKY, robot), EpisodeRequest("reach/far", seed)).frames
    off_rad = shaky.requested_rad[:10] - straight.requested_rad[:10]
    assert 0.02 < np.std(off_rad) < 0.3

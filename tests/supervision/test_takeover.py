"""One takeover: the expert begins, a bad policy goes on, and the expert finishes what it can."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_robot import StraightExpert
from fakes import ReachRobot

from sop_bench.episode import Episode, Source
from sop_bench.policy.base import HoldPolicy
from sop_bench.robot import Assessment
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.studies.actors import ABRUPT, actor, execute_steps
from sop_bench.supervision.takeover import HAZARD, Takeover, TakeoverConfig

SOON = TakeoverConfig(before_steps=(3, 3), bad_steps=(5, 5))


def run(supervisor: Takeover, robot: ReachRobot | None = None, seed: int = 0) -> Episode:
    return run_episode(robot or ReachRobot(0), HoldPolicy(), EpisodeRequest("reach/far", seed), supervisor)


def test_the_expert_begins_the_policy_goes_on_and_the_expert_finishes():
    supervisor = Takeover(SOON)
    episode = run(supervisor)
    assert supervisor.recoverable
    assert episode.header.success
    assert episode.header.takeovers == (HAZARD,)
    source = episode.frames.source
    assert (source[:3] == Source.EXPERT).all()
    assert (source[3:8] == Source.POLICY).all()
    assert (source[8:] == Source.EXPERT).all()


def test_the_steps_are_drawn_for_each_episode_within_the_bounds_and_follow_the_seed():
    def lengths(seed: int) -> tuple[int, int]:
        policys = np.flatnonzero(run(Takeover(), seed=seed).frames.source == Source.POLICY)
        return (int(policys[0]), len(policys)) if len(policys) else (-1, -1)

    drawn = [lengths(seed) for seed in range(12)]
    assert drawn == [lengths(seed) for seed in range(12)]
    came_to_it = [pair for pair in drawn if pair[0] >= 0]
    assert len(set(came_to_it)) > 3
    assert all(0 <= begins <= 30 and 1 <= lasts <= 40 for begins, lasts in came_to_it)


def test_what_cannot_be_saved_is_left_to_the_policy():
    class Pessimist(StraightExpert):
        def assess(self) -> Assessment:
            return replace(super().assess(), recoverable=False)

    class Robot(ReachRobot):
        def expert(self) -> Pessimist:
            return Pessimist(self, 0.08)

    supervisor = Takeover(SOON)
    episode = run(supervisor, Robot(0))
    assert supervisor.recoverable is False
    assert episode.header.takeovers == ()
    assert (episode.frames.source[3:] == Source.POLICY).all()


def test_an_episode_that_ends_before_the_takeover_is_not_assessed():
    supervisor = Takeover(TakeoverConfig(before_steps=(30, 30)))
    assert run(supervisor).header.success
    assert supervisor.recoverable is None


def test_a_supervisor_serves_one_episode_after_another():
    supervisor = Takeover(SOON)
    first, second = run(supervisor), run(supervisor)
    np.testing.assert_array_equal(first.frames.executed_rad, second.frames.executed_rad)


@pytest.mark.parametrize("bad_steps", [5, 11])
def test_a_chunk_that_is_cut_by_the_takeover_is_forgotten(bad_steps: int):
    supervisor = Takeover(TakeoverConfig((0, 0), (bad_steps, bad_steps)))
    robot = ReachRobot(0)
    request = EpisodeRequest("reach/far", 1, execute_steps=execute_steps(ABRUPT))
    source = run_episode(robot, actor(ABRUPT, robot), request, supervisor).frames.source
    assert (source[:bad_steps] == Source.POLICY).all()
    assert (source[bad_steps:] == Source.EXPERT).all()

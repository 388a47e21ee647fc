"""Episodes that run side by side are those that run alone, and every one that waits is run once."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from fakes import TASKS, ReachRobot, ReachWorld
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sop_bench.episode import Episode
from sop_bench.errors import ConfigurationError, RobotFaultError
from sop_bench.lockstep import Finished, Lane, run_in_lockstep
from sop_bench.policy.base import HoldPolicy, Policy
from sop_bench.policy.checkpoint import load_checkpoint
from sop_bench.robot import Observation
from sop_bench.rollout import EpisodeRequest, run_episode

REQUESTS = [EpisodeRequest(TASKS[0], seed, episode_id=str(seed)) for seed in range(11)]


@pytest.fixture(scope="module")
def policy(world: ReachWorld) -> Policy:
    return load_checkpoint(world.checkpoint).policy


def whole(finished: Finished) -> Episode:
    assert isinstance(finished.result, Episode)
    return finished.result


def in_lanes(policy: Policy, requests: Sequence[EpisodeRequest], lanes: int) -> list[Finished]:
    """What `lanes` robots of one station make of a common queue, in the order of the requests."""
    waiting = iter(requests)
    robots = [ReachRobot(0) for _ in range(lanes)]
    ended = list(run_in_lockstep(policy, [Lane(lambda robot=robot: robot, waiting) for robot in robots]))
    return sorted(ended, key=lambda finished: requests.index(finished.request))


class Asked:
    """Remembers how many observations it was asked about at once."""

    def __init__(self, policy: Policy):
        self._policy = policy
        self.version, self.cameras, self.chunk_steps = policy.version, policy.cameras, policy.chunk_steps
        self.sizes: list[int] = []

    def act(self, observation: Observation, rng: np.random.Generator) -> NDArray[np.float32]:
        raise AssertionError("asked alone")

    def act_together(
        self, observations: Sequence[Observation], rngs: Sequence[np.random.Generator]
    ) -> list[NDArray[np.float32]]:
        self.sizes.append(len(observations))
        return [self._policy.act(seen, rng) for seen, rng in zip(observations, rngs, strict=True)]


@given(lanes=st.integers(1, 6), order=st.permutations(REQUESTS), count=st.integers(0, len(REQUESTS)))
@settings(max_examples=12, deadline=None)
def test_an_episode_is_the_same_whatever_runs_beside_it(
    policy: Policy, lanes: int, order: list[EpisodeRequest], count: int
):
    chosen = order[:count]
    together = in_lanes(policy, chosen, lanes)
    assert [finished.request for finished in together] == chosen
    for finished in together:
        (alone,) = in_lanes(policy, [finished.request], 1)
        np.testing.assert_array_equal(whole(finished).frames.executed_rad, whole(alone).frames.executed_rad)


def test_an_episode_is_that_of_a_robot_alone_but_for_rounding(policy: Policy):
    for finished in in_lanes(policy, REQUESTS, 4):
        alone = run_episode(ReachRobot(0), policy, finished.request)
        assert alone.header == whole(finished).header
        np.testing.assert_allclose(alone.frames.executed_rad, whole(finished).frames.executed_rad, atol=1e-4)


def test_all_robots_are_answered_at_once_and_none_idles_while_episodes_wait():
    asked = Asked(HoldPolicy())
    ended = in_lanes(asked, REQUESTS, 4)  # eleven equal episodes: three, three, three and two for four lanes
    steps = len(whole(ended[0]).frames)
    rounds = steps // HoldPolicy.chunk_steps
    assert asked.sizes == [4] * 2 * rounds + [3] * rounds


def test_a_policy_that_answers_one_at_a_time_will_do():
    ended = in_lanes(HoldPolicy(), REQUESTS, 3)
    alone = [run_episode(ReachRobot(0), HoldPolicy(), request) for request in REQUESTS]
    for finished, episode in zip(ended, alone, strict=True):
        np.testing.assert_array_equal(whole(finished).frames.executed_rad, episode.frames.executed_rad)


def test_a_fault_ends_its_episode_alone_and_its_robot_is_asked_for_again():
    asked_for: list[int] = []

    def broken() -> ReachRobot:
        asked_for.append(1)
        return ReachRobot(666)

    lanes = [Lane(broken, iter(REQUESTS[:3])), Lane(lambda: ReachRobot(0), iter(REQUESTS[3:5]))]
    ended = list(run_in_lockstep(HoldPolicy(), lanes))
    faults = [finished.request for finished in ended if isinstance(finished.result, RobotFaultError)]
    assert faults == REQUESTS[:3]
    assert {finished.lane for finished in ended if finished.request in faults} == {0}
    assert len(asked_for) == 3
    assert [whole(finished).header.seed for finished in ended if finished.lane == 1] == [3, 4]


def test_the_times_of_all_episodes_add_up_to_no_more_than_that_of_the_run(policy: Policy):
    began_s = time.perf_counter()
    ended = in_lanes(policy, REQUESTS, 4)
    took_s = time.perf_counter() - began_s
    assert all(finished.wall_s > 0 for finished in ended)
    assert sum(finished.wall_s for finished in ended) <= took_s


def test_a_scene_that_a_robot_does_not_know_is_an_error_of_the_caller():
    with pytest.raises(ConfigurationError, match="reach/nowhere"):
        in_lanes(HoldPolicy(), [EpisodeRequest("reach/nowhere", 0)], 2)

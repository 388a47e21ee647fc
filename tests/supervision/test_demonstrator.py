"""Demonstrations vary as people do, and pushes are never imitated."""

from __future__ import annotations

import numpy as np
import pytest

from sop_bench.episode import Episode, Source
from sop_bench.robot import make_robot
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.supervision.demonstrator import Demonstrator, DemonstratorConfig, PushingPolicy


def demonstrate(config: DemonstratorConfig, seed: int = 0) -> Episode:
    with make_robot("so101", station_seed=0) as robot:
        request = EpisodeRequest("restock/flat-shelf", seed)
        return run_episode(robot, PushingPolicy(robot), request, Demonstrator(config))


def test_a_demonstration_without_pushes_is_the_experts_throughout() -> None:
    episode = demonstrate(DemonstratorConfig(push_rate_hz=0.0))
    assert episode.header.success
    assert (episode.frames.source == Source.EXPERT).all()
    assert not episode.header.takeovers


def test_pushes_are_labelled_as_not_the_experts_and_cut_segments() -> None:
    episode = demonstrate(DemonstratorConfig(push_rate_hz=1.0, push_steps=3))
    pushed = episode.frames.source == Source.POLICY
    assert 0 < pushed.sum() < len(pushed)
    changes = np.flatnonzero(np.diff(episode.frames.source))
    assert (np.diff(episode.frames.segment_id)[changes] == 1).all()


def test_a_slower_demonstrator_takes_longer() -> None:
    brisk = demonstrate(DemonstratorConfig(0.0, slowest=1.0, push_rate_hz=0.0))
    slow = demonstrate(DemonstratorConfig(0.0, slowest=0.4, push_rate_hz=0.0), seed=0)
    assert len(slow.frames) > len(brisk.frames)


def test_an_arm_that_the_task_does_not_use_neither_trembles_nor_is_pushed() -> None:
    episode = demonstrate(DemonstratorConfig(push_rate_hz=1.0))
    left = episode.frames.executed_rad[:, :6]
    assert np.ptp(left, axis=0).max() == 0
    assert np.ptp(episode.frames.executed_rad[:, 6:], axis=0).min() > 0


@pytest.mark.parametrize("seed", [0, 1])
def test_equal_seeds_give_equal_demonstrations(seed: int) -> None:
    first, second = demonstrate(DemonstratorConfig(), seed), demonstrate(DemonstratorConfig(), seed)
    np.testing.assert_array_equal(first.frames.executed_rad, second.frames.executed_rad)
    np.testing.assert_array_equal(first.frames.source, second.frames.source)

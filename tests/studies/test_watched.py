"""Wrappers that watch a robot: they see every step, keep the robot's pace, and change nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from fakes import ReachRobot

from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.studies.actors import ExpertPolicy
from sop_bench.studies.film import FilmedRobot
from sop_bench.studies.watched import WatchedRobot, WindowedRobot

REQUEST = EpisodeRequest("reach/far", 3)


@dataclass
class FakeWindow:
    """Counts what it is asked; somebody closes it after `patience` looks."""

    patience: int = 1000
    refreshed: int = 0
    looks: int = 0
    closed: bool = False

    @property
    def is_open(self) -> bool:
        self.looks += 1
        return not self.closed and self.looks < self.patience

    def refresh(self) -> None:
        self.refreshed += 1

    def close(self) -> None:
        self.closed = True


class ShowingRobot(ReachRobot):
    def __init__(self, window: FakeWindow) -> None:
        super().__init__(0)
        self.window = window

    def open_window(self) -> FakeWindow:
        return self.window


@dataclass
class Clock:
    """Time passes only by sleeping, and by `step_s` at each look."""

    step_s: float = 0.0
    now_s: float = 0.0
    slept_s: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def windowed(window: FakeWindow, clock: Clock) -> WindowedRobot:
    return WindowedRobot(FilmedRobot(ShowingRobot(window)), sleep=clock.sleep, clock=clock)


def test_watching_changes_nothing():
    bare, clock = ReachRobot(0), Clock()
    expected = run_episode(bare, ExpertPolicy(bare), REQUEST)
    robot = windowed(FakeWindow(), clock)
    watched = run_episode(robot, ExpertPolicy(robot), REQUEST)
    np.testing.assert_array_equal(watched.frames.state, expected.frames.state)
    assert watched.header.outcome is expected.header.outcome


def test_the_window_follows_the_episode_at_the_robots_pace():
    window, clock = FakeWindow(), Clock(step_s=0.03)
    robot = windowed(window, clock)
    episode = run_episode(robot, ExpertPolicy(robot), REQUEST)
    assert window.refreshed == 1 + len(episode.frames)
    # A tenth of a second for each step, whatever the computing took.
    assert clock.now_s == pytest.approx(episode.duration_s, abs=0.1)


def test_a_slow_machine_is_not_made_slower():
    clock = Clock(step_s=0.5)
    robot = windowed(FakeWindow(), clock)
    run_episode(robot, ExpertPolicy(robot), REQUEST)
    assert set(clock.slept_s) == {0.0}


def test_an_episode_goes_on_when_its_window_is_closed():
    window, clock = FakeWindow(patience=4), Clock()
    robot = windowed(window, clock)
    episode = run_episode(robot, ExpertPolicy(robot), REQUEST)
    assert episode.header.success
    assert window.refreshed == 4


def test_it_lingers_until_the_window_is_closed_and_closing_the_robot_closes_it():
    window, clock = FakeWindow(patience=60), Clock()
    with windowed(window, clock) as robot:
        run_episode(robot, ExpertPolicy(robot), REQUEST)
        robot.linger()
        assert window.looks >= 60
        assert not window.closed
    assert window.closed


def test_wrappers_reach_the_robot_inside():
    inner = ShowingRobot(FakeWindow())
    assert WatchedRobot(FilmedRobot(inner)).bare is inner

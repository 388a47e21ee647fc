"""Stations are built as often as there are lanes for them, and each episode runs at its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import TASKS, ReachRobot

from sop_bench.episode import Episode
from sop_bench.fleet import lanes
from sop_bench.fleet.lanes import LANES, Placed, run_at_stations
from sop_bench.policy.base import HoldPolicy
from sop_bench.rollout import EpisodeRequest

Built = dict[tuple[int, int], ReachRobot]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Built:
    """The robots that were asked for, by station and copy; real ones if the test is parametrised so."""
    robots: Built = {}
    real = bool(getattr(request, "param", False))

    def robot_for(name: str, station_seed: int, copy: int = 0) -> ReachRobot:
        assert name == "reach"
        if (station_seed, copy) not in robots:
            robot = ReachRobot(station_seed)
            robot.spec = replace(robot.spec, real=real)
            robots[station_seed, copy] = robot
        return robots[station_seed, copy]

    monkeypatch.setattr(lanes, "robot_for", robot_for)
    return robots


def episodes_at(*stations: int) -> list[Placed]:
    """An episode at each station, all of them different."""
    return [Placed(at, EpisodeRequest(TASKS[0], seed)) for seed, at in enumerate(stations)]


def run(episodes: list[Placed]) -> list[Episode]:
    results = [finished.result for finished in run_at_stations("reach", HoldPolicy(), episodes)]
    assert all(isinstance(result, Episode) for result in results)
    return [result for result in results if isinstance(result, Episode)]


@pytest.mark.parametrize(
    ("stations", "copies"),
    [([1], LANES), ([1, 2, 3, 4], LANES // 4), ([1, 2, 3], LANES // 3), (range(1, LANES + 1), 1)],
)
def test_lanes_are_shared_by_the_stations(built: Built, stations: list[int], copies: int):
    run(episodes_at(*list(stations) * 2 * LANES))
    assert set(built) == {(station, copy) for station in stations for copy in range(copies)}


def test_no_more_robots_are_built_than_there_are_episodes(built: Built):
    run(episodes_at(1, 1, 2))
    assert set(built) == {(1, 0), (1, 1), (2, 0)}


@pytest.mark.parametrize("built", [True], indirect=True)
def test_a_real_station_there_is_but_once(built: Built):
    run(episodes_at(1, 1, 1, 2, 2))
    assert set(built) == {(1, 0), (2, 0)}


def test_each_episode_runs_at_its_station_and_the_answer_keeps_the_order(built: Built):
    stations = [3, 1, 1, 2, *range(10, 10 + LANES), 3]  # more stations than lanes
    found = run(episodes_at(*stations))
    assert [episode.header.seed for episode in found] == list(range(len(stations)))
    slack = [built[station, 0].spec.station["slack"] for station in stations]
    assert [episode.header.station["slack"] for episode in found] == slack


def test_the_same_scene_at_two_stations_is_two_episodes(built: Built):
    request = EpisodeRequest(TASKS[0], 5)
    found = run([Placed(1, request), Placed(2, request)])
    assert [episode.header.station for episode in found] == [built[at, 0].spec.station for at in (1, 2)]

"""Episodes at several stations, some at once, on the warm robots of this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import NamedTuple

from sop_bench.errors import RobotFaultError
from sop_bench.fleet.warm import retire_robot, robot_for
from sop_bench.lockstep import Finished, Lane, run_in_lockstep
from sop_bench.policy.base import Policy
from sop_bench.rollout import EpisodeRequest

LANES = 8
"""Episodes at once: sixteen are no faster (boxes, docs/lessons.md) and take 700 MB more."""


class Placed(NamedTuple):
    """An episode, and the station where it is to run."""

    station_seed: int
    request: EpisodeRequest


def run_at_stations(robot: str, policy: Policy, episodes: Sequence[Placed]) -> list[Finished]:
    """Run `episodes`, all of one task, and give how each of them ended, in their order.

    A simulated station is built as often as there are lanes for it; a real one there is but once. A robot
    that fails is built anew for the next episode.

    Raises:
        ConfigurationError, ContractError: As `run_episode`.
    """
    # Copies, which are told apart even if one request is to run at several stations.
    episodes = [Placed(placed.station_seed, replace(placed.request)) for placed in episodes]
    stations = list(dict.fromkeys(placed.station_seed for placed in episodes))
    ended: dict[int, Finished] = {}
    for start in range(0, len(stations), LANES):
        some = stations[start : start + LANES]
        for finished in _run_at(some, robot, policy, episodes):
            ended[id(finished.request)] = finished
    return [ended[id(placed.request)] for placed in episodes]


def _run_at(
    stations: Sequence[int], robot: str, policy: Policy, episodes: Sequence[Placed]
) -> Iterator[Finished]:
    copies = 1 if robot_for(robot, stations[0]).spec.real else LANES // len(stations)
    waiting = {
        station: iter([placed.request for placed in episodes if placed.station_seed == station])
        for station in stations
    }
    places = list(product(range(copies), stations))
    lanes = [Lane(partial(robot_for, robot, station, copy), waiting[station]) for copy, station in places]
    for finished in run_in_lockstep(policy, lanes):
        if isinstance(finished.result, RobotFaultError):
            copy, station = places[finished.lane]
            retire_robot(robot, station, copy)
        yield finished

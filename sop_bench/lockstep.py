"""`run_in_lockstep`: several episodes at once, and one question to the policy for all of them.

A small policy that is asked about one observation spends most of its time fetching weights. Here every robot
runs until it must ask; then all are answered together, and each robot that is done begins its next episode::

    waiting = iter(requests)
    lanes = [Lane(make_robot, waiting), Lane(make_robot, waiting)]   # two robots share a queue
    for finished in run_in_lockstep(policy, lanes): ...

An episode is the same as alone in a lane, whatever runs beside it. Against `run_episode` it may differ in the
rounding of the policy, and where an episode hangs by a hair in its outcome.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sop_bench.episode import Episode
from sop_bench.errors import RobotFaultError
from sop_bench.policy.base import Policy, act_together
from sop_bench.robot import Observation, Robot
from sop_bench.rollout import EpisodeRequest, Rollout


@dataclass(frozen=True)
class Lane:
    """One robot after another's episodes.

    Attributes:
        robot: Asked before each episode, so that a robot may be built anew after a fault. No two lanes may
            have the same one at once.
        waiting: The episodes to run. Lanes whose robots are alike may share one iterator.
    """

    robot: Callable[[], Robot]
    waiting: Iterator[EpisodeRequest]


@dataclass(frozen=True)
class Finished:
    """An episode that has ended.

    Attributes:
        lane: Which lane ran it.
        result: The whole episode, or the fault of the robot that ended it.
        wall_s: Seconds it took to compute: its own steps, and its part of the shared answers.
    """

    lane: int
    request: EpisodeRequest
    result: Episode | RobotFaultError
    wall_s: float


def run_in_lockstep(policy: Policy, lanes: Sequence[Lane]) -> Iterator[Finished]:
    """Run what waits in `lanes`, all of one task, and give each episode as it ends.

    After a fault the lane's robot is asked for again only when the caller has taken the fault.

    Raises:
        ConfigurationError, ContractError: As `run_episode`.
        RobotFaultError: A robot failed while the policy read its images; nothing tells which.
    """
    runs = [_next_run(policy, lane) for lane in lanes]
    while True:
        for number, lane in enumerate(lanes):
            while (run := runs[number]) is not None and run.result is not None:
                yield Finished(number, run.request, run.result, run.wall_s)
                runs[number] = _next_run(policy, lane)
        asking = [run for run in runs if run is not None]
        if not asking:
            return
        began_s = time.perf_counter()
        questions, rngs = zip(*(run.question() for run in asking), strict=True)
        chunks_rad = act_together(policy, questions, rngs)
        share_s = (time.perf_counter() - began_s) / len(asking)
        for run, chunk_rad in zip(asking, chunks_rad, strict=True):
            run.answer(chunk_rad, share_s)


def _next_run(policy: Policy, lane: Lane) -> _Run | None:
    request = next(lane.waiting, None)
    return None if request is None else _Run(lane.robot(), policy, request)


class _Run:
    """The episode under way in a lane."""

    def __init__(self, robot: Robot, policy: Policy, request: EpisodeRequest):
        self.request, self.wall_s = request, 0.0
        self.result: Episode | RobotFaultError | None = None
        self._advance(lambda: Rollout(robot, policy, request))

    def question(self) -> tuple[Observation, np.random.Generator]:
        """What the policy is to be asked, and the episode's random numbers."""
        assert self._rollout.asks is not None, "the episode has ended"
        return self._rollout.asks, self._rollout.rng

    def answer(self, chunk_rad: NDArray[np.float32], took_s: float) -> None:
        """Go on with the policy's answer, for which `took_s` are charged."""
        self.wall_s += took_s

        def go_on() -> Rollout:
            self._rollout.answer(chunk_rad)
            return self._rollout

        self._advance(go_on)

    def _advance(self, go_on: Callable[[], Rollout]) -> None:
        began_s = time.perf_counter()
        try:
            self._rollout = go_on()
        except RobotFaultError as fault:
            self.result = fault
        else:
            self.result = self._rollout.episode if self._rollout.asks is None else None
        self.wall_s += time.perf_counter() - began_s

"""Real-time factors: CPU time, charged to the part that spent it, in loops that differ in who acts."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from fakes import ReachRobot, ReachWorld

from sop_bench.errors import RobotFaultError
from sop_bench.fleet.engine import InlineEngine
from sop_bench.robot import make_robot
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.studies import task_speed
from sop_bench.studies.actors import ExpertPolicy
from sop_bench.studies.stopwatch import (
    OTHER,
    PARTS,
    PHYSICS,
    POLICY,
    RENDERING,
    Stopwatch,
    TimedPolicy,
    TimedRobot,
)
from sop_bench.studies.task_speed import BARE, LOOPS, PICTURES, POLICY_LOOP, TaskSpeed, measure_speed

REQUESTS = [EpisodeRequest("reach/far", seed) for seed in range(3)]


@dataclass
class Clock:
    """Time passes only when the test says so."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_the_inner_part_alone_is_charged_and_the_rest_is_other():
    clock = Clock()
    stopwatch = Stopwatch(clock)
    clock.now_s += 1
    with stopwatch.part(POLICY):
        clock.now_s += 2
        with stopwatch.part(RENDERING):
            clock.now_s += 4
        clock.now_s += 8
    clock.now_s += 16
    assert stopwatch.total_s() == 31
    assert stopwatch.spent_s == {PHYSICS: 0, RENDERING: 4, POLICY: 10, OTHER: 17}


def test_a_part_that_fails_is_left_all_the_same():
    clock = Clock()
    stopwatch = Stopwatch(clock)

    def fail_within() -> None:
        with stopwatch.part(PHYSICS):
            clock.now_s += 1
            raise RobotFaultError("the elbow fell off")

    with pytest.raises(RobotFaultError):
        fail_within()
    clock.now_s += 2
    stopwatch.total_s()
    assert (stopwatch.spent_s[PHYSICS], stopwatch.spent_s[OTHER]) == (1, 2)


def test_timing_changes_nothing_of_an_episode():
    bare, stopwatch = ReachRobot(0), Stopwatch()
    timed = TimedRobot(ReachRobot(0), stopwatch)
    expected = run_episode(bare, ExpertPolicy(bare), REQUESTS[0])
    found = run_episode(timed, TimedPolicy(ExpertPolicy(timed), stopwatch), REQUESTS[0])
    assert (found.frames.executed_rad == expected.frames.executed_rad).all()


def test_four_loops_are_timed_with_a_checkpoint_and_two_without(world: ReachWorld):
    told: list[tuple[int, int]] = []
    with_policy = measure_speed(
        "reach", 0, REQUESTS, world.checkpoint, InlineEngine(), lambda done, total: told.append((done, total))
    )
    assert tuple(with_policy.loops) == LOOPS
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert tuple(measure_speed("reach", 0, REQUESTS, None, InlineEngine()).loops) == (BARE, PICTURES)
    for speed in with_policy.loops.values():
        assert speed.episodes == 3
        assert speed.real_time_factor > 0
        assert tuple(speed.shares) == PARTS
        assert sum(speed.shares.values()) == pytest.approx(1, abs=0.01)


def test_only_the_bare_loop_looks_at_nothing(world: ReachWorld):
    loops = measure_speed("reach", 0, REQUESTS, world.checkpoint, InlineEngine()).loops
    assert loops[BARE].shares[RENDERING] == 0
    assert loops[PICTURES].shares[RENDERING] > 0
    assert loops[POLICY_LOOP].shares[POLICY] > loops[POLICY_LOOP].shares[PHYSICS]


def test_a_loop_whose_every_episode_faults_is_missing(world: ReachWorld):
    assert measure_speed("reach", 666, REQUESTS, world.checkpoint, InlineEngine()) == TaskSpeed({})


def test_a_speed_comes_back_from_its_record(world: ReachWorld):
    speed = measure_speed("reach", 0, REQUESTS, None, InlineEngine())
    assert TaskSpeed.from_dict(speed.as_dict()) == speed


def test_the_shipped_policy_is_for_the_tasks_and_the_robot_it_knows():
    with make_robot("so101") as robot:
        assert task_speed.shipped_policy("box/close", robot.spec) == task_speed.SHIPPED_GENERALIST
        assert task_speed.shipped_policy("box/open", robot.spec) is None
    assert task_speed.shipped_policy("reach/far", ReachRobot(0).spec) is None
    assert task_speed.shipped_policy("box/close", ReachRobot(0).spec) is None  # other joints

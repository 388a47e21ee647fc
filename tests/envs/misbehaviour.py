"""What experts of the restocking family have to achieve: from reset, and after bad policies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sop_envs.robots import make_so101
from sop_envs.simulated import SimulatedSo101

from sop_bench.robot import Outcome, Split, Step

Finish = Callable[[SimulatedSo101], Step]
POLICIES = ("random", "noisy", "wrong product")


def misbehave(robot: SimulatedSo101, policy: str, rng: np.random.Generator) -> bool:
    """Let a bad policy act for 5 to 40 steps; whether the episode can still be saved."""
    situation, expert, noise = robot.situation, robot.expert(), np.zeros(12)
    asked = situation.goal_item
    for _ in range(int(rng.integers(5, 41))):
        noise = 0.8 * noise + rng.normal(0, 0.04 if policy == "noisy" else 0.006, 12)
        if policy == "wrong product":
            situation.goal_item = (asked + 1) % situation.count
        action = expert.act() + noise
        situation.goal_item = asked
        if policy == "random":
            action = situation.data.ctrl + rng.uniform(-1, 1, 12) * robot.spec.max_step_rad
        if robot.step(action).outcome is not Outcome.RUNNING:
            return False
    return expert.assess().recoverable


def check_successes_from_reset(task: str, split: Split, finish: Finish) -> None:
    """97 percent of 207 scenes on nine stations."""
    successes = 0
    for station_seed in range(9):
        with make_so101(station_seed) as robot:
            for seed in range(10_000, 10_023):
                robot.reset(task, 1000 * station_seed + seed, split=split)
                successes += finish(robot).outcome is Outcome.SUCCESS
    assert successes >= 201


def check_rescues(task: str, policy: str, robot: SimulatedSo101, finish: Finish) -> None:
    """90 percent of what can still be saved after a bad policy, in 100 scenes."""
    rescued = taken_over = 0
    for seed in range(20_000, 20_100):
        robot.reset(task, seed, split="test")
        if misbehave(robot, policy, np.random.default_rng(seed)):
            taken_over += 1
            rescued += finish(robot).outcome is Outcome.SUCCESS
    assert taken_over >= 80
    assert rescued >= 0.9 * taken_over

"""What experts have to achieve: from reset, and after the bad policies of their family."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from sop_envs.carton import LEFT, RIGHT
from sop_envs.robots import make_so101
from sop_envs.simulated import SimulatedSo101

from sop_bench.robot import Outcome, Split, Step

Finish = Callable[[SimulatedSo101], Step]
Actions = Iterator[NDArray[np.floating]]
Misbehave = Callable[[SimulatedSo101, str, np.random.Generator], Actions]

RESTOCK_POLICIES = ("random", "noisy", "wrong product")
CLOTH_POLICIES = ("random", "noisy", "drop")
BOX_POLICIES = ("random", "noisy", "drifting", "wrong order")


def misbehave_restocking(robot: SimulatedSo101, policy: str, rng: np.random.Generator) -> Actions:
    """5 to 40 steps."""
    situation, expert, noise = robot.situation, robot.expert(), np.zeros(12)
    asked = situation.goal_item
    for _ in range(int(rng.integers(5, 41))):
        noise = _tremor(noise, 0.04 if policy == "noisy" else 0.006, rng)
        if policy == "wrong product":
            situation.goal_item = (asked + 1) % situation.count
        action = expert.act() + noise
        situation.goal_item = asked
        yield random_targets(robot, rng) if policy == "random" else action


def misbehave_folding(robot: SimulatedSo101, policy: str, rng: np.random.Generator) -> Actions:
    """5 to 40 steps."""
    expert, noise = robot.expert(), np.zeros(12)
    steps, gripper = int(rng.integers(5, 41)), int(rng.choice([5, 11]))
    for step in range(steps):
        noise = _tremor(noise, 0.04, rng)
        action = expert.act()
        if policy == "noisy":
            action = action + noise
        elif policy == "random":
            action = random_targets(robot, rng)
        elif step >= steps - 4:
            action = robot.situation.data.ctrl.astype(np.float32)
            action[gripper] = 0.6  # one hand lets go of what it has
        yield action


def misbehave_closing(robot: SimulatedSo101, policy: str, rng: np.random.Generator) -> Actions:
    """5 to 40 steps, somewhere along an episode."""
    from sop_envs.experts.box_close import Job  # a module that cannot be the first to import its tasks

    expert = robot.expert()
    for _ in range(int(rng.integers(0, 30))):
        yield expert.act()
    if policy == "wrong order":
        expert.jobs = lambda: {"left": Job(LEFT)} if expert.folded(RIGHT) else {"right": Job(RIGHT)}
    noise, drift = np.zeros(12), rng.uniform(-1, 1, 12)
    for _ in range(int(rng.integers(5, 41))):
        noise = _tremor(noise, 0.04 if policy == "noisy" else 0.006, rng)
        drift = 0.9 * drift + 0.45 * rng.normal(0, 1, 12)
        action = expert.act() + noise
        if policy == "random":
            action = random_targets(robot, rng)
        elif policy == "drifting":
            action = robot.situation.data.ctrl + 0.3 * drift * robot.spec.max_step_rad
        yield action.astype(np.float32)


def random_targets(robot: SimulatedSo101, rng: np.random.Generator) -> NDArray[np.float64]:
    """Anywhere that one control step may lead to, (12,)."""
    return robot.situation.data.ctrl + rng.uniform(-1, 1, 12) * robot.spec.max_step_rad


def _tremor(before: NDArray[np.float64], scale: float, rng: np.random.Generator) -> NDArray[np.float64]:
    return 0.8 * before + rng.normal(0, scale, 12)


def check_successes_from_reset(
    task: str, split: Split, finish: Finish, *, stations: int = 9, scenes: int = 22, apart: int = 0
) -> None:
    """97 percent of `scenes` on each of the stations, whose scenes are `apart` seeds from each other."""
    successes = 0
    for station_seed in range(stations):
        with make_so101(station_seed) as robot:
            for seed in range(10_000, 10_000 + scenes):
                robot.reset(task, apart * station_seed + seed, split=split)
                successes += finish(robot).outcome is Outcome.SUCCESS
    assert successes >= math.ceil(0.97 * stations * scenes)


def check_rescues(
    task: str,
    policy: str,
    robot: SimulatedSo101,
    finish: Finish,
    misbehave: Misbehave = misbehave_restocking,
    *,
    scenes: int = 100,
    at_least: int = 80,
) -> None:
    """90 percent of what can still be saved after a bad policy, which are `at_least` so many scenes."""
    rescued = taken_over = 0
    for seed in range(20_000, 20_000 + scenes):
        robot.reset(task, seed, split="test")
        if _can_be_saved(robot, misbehave(robot, policy, np.random.default_rng(seed))):
            taken_over += 1
            rescued += finish(robot).outcome is Outcome.SUCCESS
    assert taken_over >= at_least
    assert rescued >= 0.9 * taken_over


def _can_be_saved(robot: SimulatedSo101, actions: Actions) -> bool:
    """Let a bad policy act; whether the episode goes on and its expert sees a way."""
    for action in actions:
        if robot.step(action).outcome is not Outcome.RUNNING:
            return False
    return robot.expert().assess().recoverable

"""Bad policies that an expert has to take over from, for the tasks of the restocking family."""

from __future__ import annotations

import numpy as np
from sop_envs.simulated import SimulatedSo101

from sop_bench.robot import Outcome

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

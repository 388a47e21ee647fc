from collections.abc import Callable, Iterator

import numpy as np
import pytest
from misbehaviour import random_targets
from sop_envs.robots import make_so101
from sop_envs.simulated import SimulatedSo101

from sop_bench.robot import Outcome, Step

TASK = "restock/flat-shelf"


@pytest.fixture
def robot() -> Iterator[SimulatedSo101]:
    with make_so101() as robot:
        yield robot


@pytest.fixture(scope="session")
def finish() -> Callable[[SimulatedSo101], Step]:
    """Let the expert act until the running episode is over."""

    def finish(robot: SimulatedSo101) -> Step:
        expert = robot.expert()
        while True:
            step = robot.step(expert.act())
            if step.outcome is not Outcome.RUNNING:
                return step

    return finish


@pytest.fixture(scope="session")
def trajectory() -> Callable[[SimulatedSo101, int], np.ndarray]:
    """Twenty steps of random targets in scene `seed`, as proprioception and full state."""

    def trajectory(robot: SimulatedSo101, seed: int) -> np.ndarray:
        robot.reset(TASK, seed)
        rng = np.random.default_rng(seed)
        states = []
        for _ in range(20):
            robot.step(random_targets(robot, rng).astype(np.float32))
            states.append(robot.situation.data.qpos.copy())
        return np.array(states)

    return trajectory

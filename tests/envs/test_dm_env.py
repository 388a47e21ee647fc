"""The dm_env view passes dm_env's own tests, to the end of an episode."""

from __future__ import annotations

from collections.abc import Iterator

import dm_env
import numpy as np
import pytest
from absl.testing import absltest
from dm_env import test_utils
from sop_envs.dm_env_view import DmEnvView
from sop_envs.tasks.registry import TASKS

from sop_bench.errors import ConfigurationError

TASK = "restock/flat-shelf"


class _EveryTask(test_utils.EnvironmentTestMixin):
    task: str

    def make_object_under_test(self) -> DmEnvView:
        return DmEnvView(self.task, station_seed=1, cameras=("front",))

    def make_action_sequence(self) -> Iterator[np.ndarray]:
        """Holds still; in one task past the time limit, so that what follows an end is checked too."""
        environment = self.environment
        hold = environment.reset().observation["joint_positions"][12:]
        limit_s = environment.robot.spec.time_limit_s[self.task]
        for _ in range(round(limit_s * 10) + 2 if self.task == TASK else 20):
            yield hold


for _task in TASKS:
    _name = f"Test_{_task.replace('/', '_').replace('-', '_')}"
    globals()[_name] = type(_name, (_EveryTask, absltest.TestCase), {"task": _task})


def test_the_expert_ends_an_episode_with_a_reward_and_no_discount():
    with DmEnvView(TASK, seed=1, cameras=()) as environment:
        timestep = environment.reset()
        while not timestep.last():
            timestep = environment.step(environment.robot.expert().act())
        assert (timestep.reward, timestep.discount) == (1.0, 0.0)
        assert environment.step(timestep.observation["joint_positions"][12:]).first()


def test_the_time_limit_truncates_with_a_discount_of_one():
    with DmEnvView(TASK, cameras=()) as environment:
        timestep = environment.reset()
        hold = timestep.observation["joint_positions"][12:]
        while not timestep.last():
            timestep = environment.step(hold)
        assert (timestep.reward, timestep.discount) == (0.0, 1.0)


def test_equal_seeds_give_equal_scenes():
    def first(seed: int) -> dm_env.TimeStep:
        with DmEnvView(TASK, seed=seed, cameras=()) as environment:
            return environment.reset()

    again, other = first(0), first(1)
    np.testing.assert_array_equal(
        first(0).observation["joint_positions"], again.observation["joint_positions"]
    )
    assert (again.observation["joint_positions"] != other.observation["joint_positions"]).any()


def test_an_unknown_task_names_the_closest_one():
    with pytest.raises(ConfigurationError, match="Did you mean 'restock/flat-shelf'"):
        DmEnvView("restock/flatshelf")

"""The Gymnasium view: every task registered, checked by Gymnasium's own checker, and solvable through it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest
import sop_envs
from gymnasium.utils.env_checker import check_env
from sop_envs.gymnasium_env import SopEnv
from sop_envs.tasks.registry import TASKS

from sop_bench.errors import ConfigurationError

TASK = "restock/flat-shelf"


@pytest.fixture
def env() -> Iterator[SopEnv]:
    env = SopEnv(TASK, station_seed=1, cameras=())
    yield env
    env.close()


def test_every_task_has_an_id():
    assert tuple(TASKS) == sop_envs.TASK_NAMES, "keep sop_envs.TASK_NAMES as the keys of TASKS"
    registered = {name for name in gymnasium.registry if name.startswith("sop/")}
    assert registered == {sop_envs.gymnasium_id(task) for task in TASKS}
    assert sop_envs.gymnasium_id(TASK) == "sop/restock-flat-shelf-v0"


@pytest.mark.parametrize("task", TASKS)
def test_gymnasiums_own_checker_finds_nothing(task: str):
    env = gymnasium.make(sop_envs.gymnasium_id(task))
    check_env(env.unwrapped)  # pytest makes an error of every warning
    env.close()


def test_importing_the_tasks_names_imports_no_simulator():
    code = "import sys, sop_envs; sys.exit('mujoco' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_expert_succeeds_through_the_view_with_one_reward_at_the_end(env: SopEnv):
    env.reset(options={"instance": 1})
    rewards, terminated, truncated, info = [], False, False, {}
    while not (terminated or truncated):
        action = env.to_action(env.robot.expert().act())
        _, reward, terminated, truncated, info = env.step(action)
        rewards.append(reward)
    assert terminated
    assert info["is_success"]
    assert info["outcome"] == "success"
    assert rewards == [0.0] * (len(rewards) - 1) + [1.0]


def test_holding_still_is_truncated_at_the_time_limit(env: SopEnv):
    observation, _ = env.reset(seed=0)
    hold = env.to_action(observation["agent_pos"][12:])
    ends = [env.step(hold)[2:4] for _ in range(env._max_episode_steps)]
    assert ends == [(False, False)] * 119 + [(False, True)]


def test_an_action_and_its_targets_convert_both_ways_and_reach_the_limits(env: SopEnv):
    spec = env.robot.spec
    np.testing.assert_allclose(env.to_targets_rad(np.ones(12)), spec.joint_upper_rad, atol=1e-6)
    np.testing.assert_allclose(env.to_targets_rad(-np.ones(12)), spec.joint_lower_rad, atol=1e-6)
    action = env.action_space.sample()
    np.testing.assert_allclose(env.to_action(env.to_targets_rad(action)), action, atol=1e-6)


def test_the_task_s_cameras_are_observed_by_default_and_the_rest_on_demand():
    for cameras, seen in ((None, {"front", "wrist_right"}), (("wrist_left",), {"wrist_left"})):
        env = SopEnv(TASK, cameras=cameras)
        observation, _ = env.reset(seed=0)
        assert set(observation["pixels"]) == seen
        assert observation in env.observation_space
        env.close()


def test_without_cameras_nothing_is_rendered(env: SopEnv):
    observation, info = env.reset(seed=0)
    assert set(observation) == {"agent_pos"}
    assert info["instruction"] == env.task_description
    assert not env.robot._renderer.started


def test_an_instance_is_the_scene_of_that_number_and_split(env: SopEnv):
    _, info = env.reset(seed=0, options={"instance": 9_000_000, "split": "test"})
    assert info["instance"] == 9_000_000
    expected = env.robot.reset(TASK, 9_000_000, split="test").instruction
    assert info["instruction"] == expected


def test_seeds_draw_instances_and_episodes_follow_one_another(env: SopEnv):
    first, second = (env.reset(seed=seed)[1]["instance"] for seed in (0, 1))
    following = env.reset()[1]["instance"]
    assert len({first, second, following}) == 3
    assert env.reset(seed=0)[1]["instance"] == first


def test_the_picture_is_for_people():
    env = gymnasium.make("sop/restock-flat-shelf-v0", render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert isinstance(picture, np.ndarray)
    assert picture.shape == (360, 480, 3)
    env.close()


def test_mistakes_name_what_is_allowed(env: SopEnv):
    with pytest.raises(ConfigurationError, match=r"Allowed: instance, split"):
        env.reset(options={"scene": 3})
    with pytest.raises(ConfigurationError, match="Did you mean 'test'"):
        SopEnv(TASK, split="tests")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match="Did you mean 'restock/flat-shelf'"):
        SopEnv("restock/flatshelf")
    with pytest.raises(ConfigurationError, match="Did you mean 'front'"):
        SopEnv(TASK, cameras=("fronts",))


def test_environments_run_side_by_side():
    vector = gymnasium.make_vec(
        "sop/restock-flat-shelf-v0", num_envs=2, vectorization_mode="sync", cameras=("front",)
    )
    observation, info = vector.reset(seed=0)
    assert observation["pixels"]["front"].shape == (2, 80, 128, 3)
    assert len(set(info["instance"])) == 2
    vector.step(vector.action_space.sample())
    vector.close()

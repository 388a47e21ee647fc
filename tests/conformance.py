"""The suite every robot's tests inherit.

A station or an adapter passes when a subclass that only says how to make it passes::

    class TestSo101(RobotConformance):
        def make(self) -> Robot:
            return make_robot("so101", station_seed=0)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from sop_bench.errors import ConfigurationError, ContractError
from sop_bench.policy.base import HoldPolicy, Policy, RandomPolicy
from sop_bench.robot import Observation, Outcome, Robot
from sop_bench.rollout import EpisodeRequest, run_episode


class RobotConformance:
    """What `sop_bench.robot.Robot` promises, as tests."""

    def make(self) -> Robot:
        raise NotImplementedError("A conformance test says how its robot is made.")

    @pytest.fixture
    def robot(self) -> Iterator[Robot]:
        with self.make() as robot:
            yield robot

    def test_spec_is_complete_before_the_first_reset(self, robot: Robot) -> None:
        spec = robot.spec
        for limits in (spec.joint_lower_rad, spec.joint_upper_rad, spec.max_step_rad):
            assert limits.shape == (spec.action_dim,)
            assert np.isfinite(limits).all()
        assert (spec.joint_lower_rad < spec.joint_upper_rad).all()
        assert (spec.max_step_rad > 0).all()
        assert spec.control_hz > 0
        assert spec.tasks
        assert set(spec.time_limit_s) == set(spec.tasks)

    def test_observations_match_the_spec(self, robot: Robot) -> None:
        for task in robot.spec.tasks:
            observation = robot.reset(task, 0)
            self._check_observation(robot, observation)
            step = robot.step(observation.commanded_rad)
            self._check_observation(robot, step.observation)

    def _check_observation(self, robot: Robot, observation: Observation) -> None:
        spec = robot.spec
        assert observation.proprioception.shape == (len(spec.proprioception_names),)
        assert observation.proprioception.dtype == np.float32
        assert np.isfinite(observation.proprioception).all()
        assert observation.commanded_rad.shape == (spec.action_dim,)
        assert observation.instruction
        assert set(observation.images) == {camera.name for camera in spec.cameras}
        for camera in spec.cameras:
            image = observation.images[camera.name]
            assert image.shape == (camera.height, camera.width, 3)
            assert image.dtype == np.uint8

    def test_executed_actions_respect_the_limits(self, robot: Robot) -> None:
        spec = robot.spec
        before = robot.reset(spec.tasks[0], 1).commanded_rad
        step = robot.step(np.full(spec.action_dim, 100.0))
        assert (step.executed_rad <= spec.joint_upper_rad + 1e-6).all()
        assert (np.abs(step.executed_rad - before) <= spec.max_step_rad + 1e-5).all()
        np.testing.assert_allclose(step.observation.commanded_rad, step.executed_rad, atol=1e-6)

    def test_equal_seeds_and_actions_give_equal_episodes(self, robot: Robot) -> None:
        if not robot.spec.seedable:
            pytest.skip("this robot cannot be seeded")
        task = robot.spec.tasks[0]
        first = self._trajectory(robot, task, seed=3)
        self._trajectory(robot, task, seed=4)  # what was run before must not matter
        second = self._trajectory(robot, task, seed=3)
        np.testing.assert_array_equal(first, second)

    def _trajectory(self, robot: Robot, task: str, seed: int) -> np.ndarray:
        observation = robot.reset(task, seed)
        policy, rng = RandomPolicy(robot.spec), np.random.default_rng(seed)
        states = [observation.proprioception]
        for action in policy.act(observation, rng):
            states.append(robot.step(action).observation.proprioception)
        return np.stack(states)

    def test_different_seeds_give_different_scenes(self, robot: Robot) -> None:
        if not robot.spec.seedable:
            pytest.skip("this robot cannot be seeded")
        task, camera = robot.spec.tasks[0], robot.spec.cameras[0].name
        images = [robot.reset(task, seed).images[camera].copy() for seed in range(3)]
        assert any((images[0] != image).any() for image in images[1:])

    def test_observations_share_no_memory(self, robot: Robot) -> None:
        first = robot.reset(robot.spec.tasks[0], 0)
        kept = first.proprioception.copy()
        step = robot.step(robot.spec.joint_upper_rad)
        assert not np.shares_memory(first.proprioception, step.observation.proprioception)
        assert not np.shares_memory(first.commanded_rad, step.observation.commanded_rad)
        np.testing.assert_array_equal(first.proprioception, kept)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_a_non_finite_action_is_refused_and_moves_nothing(self, robot: Robot, bad: float) -> None:
        observation = robot.reset(robot.spec.tasks[0], 0)
        action = observation.commanded_rad.copy()
        action[0] = bad
        with pytest.raises(ContractError, match="not finite"):
            robot.step(action)
        step = robot.step(observation.commanded_rad)
        np.testing.assert_array_equal(step.executed_rad, observation.commanded_rad)

    def test_an_action_of_the_wrong_size_is_refused(self, robot: Robot) -> None:
        robot.reset(robot.spec.tasks[0], 0)
        with pytest.raises(ContractError, match="allowed"):
            robot.step(np.zeros(robot.spec.action_dim + 1))

    def test_an_unknown_task_is_refused_with_the_known_ones(self, robot: Robot) -> None:
        with pytest.raises(ConfigurationError, match=robot.spec.tasks[0]):
            robot.reset("no-such-task", 0)

    @pytest.mark.parametrize("policy_kind", [HoldPolicy, RandomPolicy])
    def test_no_task_is_solved_at_reset_or_by_a_zero_or_random_policy(
        self, robot: Robot, policy_kind: type
    ) -> None:
        policy: Policy = HoldPolicy() if policy_kind is HoldPolicy else RandomPolicy(robot.spec)
        for task in robot.spec.tasks:
            for seed in range(3):
                episode = run_episode(robot, policy, EpisodeRequest(task, seed))
                assert episode.header.outcome is not Outcome.SUCCESS
                assert len(episode.frames) > 1

    def test_stepping_after_the_end_is_refused(self, robot: Robot) -> None:
        run_episode(robot, HoldPolicy(), EpisodeRequest(robot.spec.tasks[0], 0))
        with pytest.raises(ContractError):
            robot.step(np.zeros(robot.spec.action_dim))

    def test_closing_twice_is_harmless(self) -> None:
        robot = self.make()
        robot.close()
        robot.close()
        assert robot.spec.name

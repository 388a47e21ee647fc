import subprocess
import sys

import numpy as np
import pytest
from conformance import RobotConformance
from misbehaviour import random_targets
from sop_envs.robots import make_so101
from sop_envs.so101 import JOINT_NAMES

from sop_bench.errors import ConfigurationError, ContractError
from sop_bench.robot import HasExpert, HasLabelledScenes, HasLabels, Outcome, Robot, make_robot

TASK = "restock/flat-shelf"


class TestConformance(RobotConformance):
    def make(self) -> Robot:
        return make_so101(station_seed=1)


def test_the_robot_is_found_by_its_registered_name():
    with make_robot("so101", station_seed=2) as robot:
        assert robot.spec.station["station_seed"] == 2
        assert robot.spec.station[f"task_version.{TASK}"] == "3"


def test_it_offers_an_expert_labels_and_labelled_scenes(robot):
    assert isinstance(robot, HasExpert)
    assert isinstance(robot, HasLabels)
    assert isinstance(robot, HasLabelledScenes)


def test_equal_seeds_and_actions_give_identical_states_whatever_ran_before(robot, trajectory, finish):
    first = trajectory(robot, 5)
    robot.reset(TASK, 9, split="test")
    finish(robot)
    assert np.array_equal(trajectory(robot, 5), first)
    with make_so101() as other:
        assert np.array_equal(trajectory(other, 5), first)


def test_looking_does_not_change_what_happens(robot, trajectory):
    blind = trajectory(robot, 3)
    observation = robot.reset(TASK, 3)
    rng = np.random.default_rng(3)
    for state in blind:
        for camera in robot.spec.cameras:
            assert observation.images[camera.name].shape == (camera.height, camera.width, 3)
        observation = robot.step(random_targets(robot, rng).astype(np.float32)).observation
        assert np.array_equal(robot.situation.data.qpos, state)


def test_stations_differ_and_the_nominal_one_is_seed_zero():
    with make_so101(0) as nominal, make_so101(1) as other:
        assert nominal.station.camera_offset_m == (0.0, 0.0, 0.0)
        assert other.station != nominal.station
        scenes = [robot.reset(TASK, 1).images["front"].copy() for robot in (nominal, other)]
    assert not np.array_equal(*scenes)


def test_an_image_is_kept_but_a_late_first_look_is_refused(robot):
    early = robot.reset(TASK, 0)
    front = early.images["front"]
    robot.step(early.commanded_rad)
    assert early.images["front"] is front
    with pytest.raises(ContractError, match=r"wrist_right.*moved on"):
        early.images["wrist_right"]


def test_no_opengl_context_is_made_before_an_image_is_asked_for():
    script = (
        "from sop_envs.robots import make_so101\n"
        f"r = make_so101(); o = r.reset({TASK!r}, 0); r.step(o.commanded_rad); r.expert().act(); r.labels()\n"
        "assert not r._renderer.started"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={"MUJOCO_GL": "disabled", "DISPLAY": ""})


def test_nan_is_refused_and_nothing_moves(robot):
    action = robot.reset(TASK, 0).commanded_rad.copy()
    before = robot.situation.data.qpos.copy()
    action[7] = np.nan
    with pytest.raises(ContractError, match="right_shoulder_lift"):
        robot.step(action)
    assert np.array_equal(robot.situation.data.qpos, before)


def test_an_unknown_task_names_the_closest_one(robot):
    with pytest.raises(ConfigurationError, match="Did you mean 'restock/flat-shelf'"):
        robot.reset("restock/flatshelf", 0)


def test_targets_are_limited_in_range_and_speed_and_the_executed_ones_are_reported(robot):
    observation = robot.reset(TASK, 0)
    step = robot.step(np.full(12, 100.0))
    moved = step.executed_rad - observation.commanded_rad
    assert (moved <= robot.spec.max_step_rad + 1e-6).all()
    assert (step.executed_rad <= robot.spec.joint_upper_rad).all()
    assert np.array_equal(step.observation.commanded_rad, step.executed_rad)


def test_a_sleeping_arm_wakes_for_a_new_target(robot):
    target = robot.reset(TASK, 0).commanded_rad.copy()
    for _ in range(10):
        robot.step(target)
    pan = JOINT_NAMES.index("left_shoulder_pan")
    target[pan] -= 0.2
    for _ in range(5):
        step = robot.step(target)
    assert step.observation.proprioception[pan] == pytest.approx(target[pan], abs=0.02)


def test_an_arm_at_rest_times_out_and_no_step_follows_the_end(robot):
    target = robot.reset(TASK, 0).commanded_rad
    steps = [robot.step(target) for _ in range(120)]
    assert [step.outcome for step in steps[:-1]] == [Outcome.RUNNING] * 119
    assert steps[-1].outcome is Outcome.TIMEOUT
    with pytest.raises(ContractError, match="episode is over"):
        robot.step(target)


def test_labelled_scenes_repeat_with_their_generator_and_share_their_keys_with_the_live_labels(robot):
    first, again = (robot.labelled_scene(TASK, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first.observation.images["front"], again.observation.images["front"])
    robot.reset(TASK, 0)
    live = robot.labels()
    assert {k: v.shape for k, v in live.items()} == {k: v.shape for k, v in first.labels.items()}
    assert all(value.dtype == np.float32 for value in live.values())


def test_a_labelled_scene_outlives_later_scenes_and_steps(robot):
    scene = robot.labelled_scene(TASK, np.random.default_rng(0))
    robot.labelled_scene(TASK, np.random.default_rng(1))
    robot.step(robot.reset(TASK, 0).commanded_rad)
    assert scene.observation.images["wrist_left"].shape == (64, 64, 3)

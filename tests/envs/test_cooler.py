import mujoco
import numpy as np
import pytest
from misbehaviour import RESTOCK_POLICIES, check_rescues, check_successes_from_reset
from sop_envs.catalogue import product_named
from sop_envs.multipacks import CARTON_M, HANDLE_M
from sop_envs.robots import make_so101
from sop_envs.so101 import JAW_OPEN_RAD, jaw_face_m
from sop_envs.tasks.cooler_scene import BAY_HALF_M, PACKS, SLOTS, SLOTS_M, WALL_M, draw_layout
from sop_envs.workcell import BASE_Y_M

from sop_bench.errors import ConfigurationError
from sop_bench.robot import Outcome

TASK = "restock/cooler"


def test_only_the_handle_of_a_pack_fits_into_the_jaw():
    opening = jaw_face_m(JAW_OPEN_RAD) - jaw_face_m(-1.0)
    assert HANDLE_M[1] < 0.6 * opening
    assert CARTON_M[1] > 0.067


def test_the_bay_asked_for_is_free_and_packs_wait_outside_the_cooler():
    for seed in range(60):
        layout = draw_layout(np.random.default_rng(seed), "train")
        off = np.abs(layout.positions_m[PACKS:] - SLOTS_M[layout.goal_slot])
        assert (off > BAY_HALF_M).any(axis=1).all()
        assert (layout.positions_m[:PACKS, 0] + 0.037 < SLOTS_M[0][0] - BAY_HALF_M[0] - 0.006).all()


def test_train_scenes_use_train_products_only_and_test_targets_are_held_out():
    for seed in range(60):
        train, test = (draw_layout(np.random.default_rng(seed), split) for split in ("train", "test"))
        assert not any(product.held_out for product in train.products)
        assert test.products[0].held_out


def test_the_instruction_names_the_pack_and_the_bay(robot):
    words = robot.reset(TASK, 11).instruction.split()
    assert words[:2] == ["put", "the"]
    product_named(" ".join(words[2:5]))
    assert words[5:8] == ["pack", "in", "the"]
    assert words[8] in SLOTS
    assert words[9:] == ["bay"]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("station_seed", [0, 1])
def test_the_expert_succeeds_from_reset_without_an_alarm(station_seed, split):
    with make_so101(station_seed) as robot:
        for seed in (101, 102):
            robot.reset(TASK, seed, split=split)
            expert, step = robot.expert(), None
            while step is None or step.outcome is Outcome.RUNNING:
                step = robot.step(expert.act())
                assert not expert.assess().hazard
            assert step.reason == "stocked"
            assert all(robot.situation.upright_cosine > 0.95)


def test_a_pad_on_the_carton_is_no_grasp(robot):
    robot.reset(TASK, 3)
    situation = robot.situation
    carton, handle = (situation.model.geom(name).id for name in ("item0_carton", "item0"))
    assert situation._item_of_grip[carton] == -1
    assert situation._item_of_grip[handle] == situation._item_of_geom[carton] == 0


def test_walls_and_dividers_are_in_the_way(robot):
    robot.reset(TASK, 3)
    situation = robot.situation
    x, y = SLOTS_M[situation.goal_slot]
    for offset in (-BAY_HALF_M[0], BAY_HALF_M[0]):
        situation.data.qpos[situation._qpos[0][:3]] = [x + offset, y + BASE_Y_M["right"], WALL_M - 0.01]
        mujoco.mj_forward(situation.model, situation.data)
        carton = situation.model.geom("item0_carton").id
        assert carton in situation.data.contact.geom[: situation.data.ncon]


def test_the_same_scene_can_ask_for_the_other_pack(robot, finish):
    robot.reset(TASK, 3)
    situation = robot.situation
    robot.set_goal(1, situation.goal_slot)
    assert finish(robot).outcome is Outcome.SUCCESS
    assert situation.slot_of(1) == situation.goal_slot
    robot.reset(TASK, 3)
    with pytest.raises(ConfigurationError, match="allowed: items"):
        robot.set_goal(2, 0)


def test_the_same_motion_fails_if_the_other_pack_was_asked_for(robot):
    robot.reset(TASK, 3)
    expert, motion = robot.expert(), []
    while not motion or robot.step(motion[-1]).outcome is Outcome.RUNNING:
        motion.append(expert.act())
    robot.reset(TASK, 3)
    robot.set_goal(1, robot.situation.goal_slot)
    for action in motion:
        step = robot.step(action)
    assert step.reason == "stocked the wrong pack"


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_expert_succeeds_in_at_least_97_percent_of_207_scenes_on_nine_stations(split, finish):
    check_successes_from_reset(TASK, split, finish, scenes=23, apart=1000)


@pytest.mark.slow
@pytest.mark.parametrize("policy", RESTOCK_POLICIES)
def test_the_expert_rescues_at_least_90_percent_of_what_can_be_rescued(policy, robot, finish):
    check_rescues(TASK, policy, robot, finish)

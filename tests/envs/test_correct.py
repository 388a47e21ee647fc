import numpy as np
import pytest
from misbehaviour import RESTOCK_POLICIES, check_rescues, check_successes_from_reset
from sop_envs.catalogue import product_named
from sop_envs.robots import make_so101
from sop_envs.tasks.correct_scene import SLOTS, SLOTS_M, draw_layout

from sop_bench.errors import ConfigurationError
from sop_bench.robot import Outcome

TASK = "restock/correct"


def test_all_products_but_the_first_start_at_home_and_its_home_is_free():
    for seed in range(60):
        layout = draw_layout(np.random.default_rng(seed), "train")
        near = [
            int(np.linalg.norm(np.array(SLOTS_M) - position, axis=1).argmin())
            for position in layout.positions_m
        ]
        assert near[1:] == list(layout.homes[1:])
        assert layout.homes[0] == layout.goal_slot
        assert layout.goal_slot not in near
        assert len(set(near)) == len(near)


def test_train_scenes_use_train_products_only_and_test_targets_are_held_out():
    for seed in range(60):
        train, test = (draw_layout(np.random.default_rng(seed), split) for split in ("train", "test"))
        assert not any(product.held_out for product in train.products)
        assert test.products[test.goal_item].held_out


def test_the_instruction_names_the_product_and_its_row_and_column(robot):
    words = robot.reset(TASK, 11).instruction.split()
    assert words[:2] == ["move", "the"]
    product_named(" ".join(words[2:5]))
    assert words[5:7] == ["to", "the"]
    assert " ".join(words[7:9]) in SLOTS
    assert words[9:] == ["slot"]


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
            assert step.reason == "placed"
            assert all(robot.situation.slot_of(i) == s for i, s in enumerate(robot.situation.homes))


def test_a_product_pushed_out_of_its_facing_forbids_success_and_the_expert_brings_it_home(robot, finish):
    robot.reset(TASK, 5)
    situation, other = robot.situation, robot.situation.others[0]
    situation.data.qpos[situation._qpos[other][0]] += 0.034  # beyond the mat, still upright
    situation.measure()
    assert situation.displaced(other)
    assert robot.expert().assess().hazard == "disturbed shelf"
    assert robot.labels()["disturbed"] == 1
    assert finish(robot).outcome is Outcome.SUCCESS
    assert not situation.displaced(other)


def test_knocking_another_product_over_ends_the_episode(robot):
    robot.reset(TASK, 5)
    situation, other = robot.situation, robot.situation.others[0]
    situation.data.qpos[situation._qpos[other][2:]] = [0.016, np.sqrt(0.5), np.sqrt(0.5), 0, 0]
    situation.measure()
    assert not robot.expert().assess().recoverable
    for _ in range(10):
        step = robot.step(situation.data.ctrl)
        if step.outcome is not Outcome.RUNNING:
            break
    assert step.reason == "knocked another product over"


def test_the_same_scene_can_ask_for_another_product_in_another_slot(robot, finish):
    robot.reset(TASK, 3)
    situation = robot.situation
    free = [s for s in range(len(SLOTS)) if s not in {situation.slot_of(i) for i in range(situation.count)}]
    robot.set_goal(1, free[0])
    assert finish(robot).outcome is Outcome.SUCCESS
    assert situation.slot_of(1) == free[0]
    robot.reset(TASK, 3)
    with pytest.raises(ConfigurationError, match="allowed: items"):
        robot.set_goal(17, 0)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_expert_succeeds_in_at_least_97_percent_of_207_scenes_on_nine_stations(split, finish):
    check_successes_from_reset(TASK, split, finish, scenes=23, apart=1000)


@pytest.mark.slow
@pytest.mark.parametrize("policy", RESTOCK_POLICIES)
def test_the_expert_rescues_at_least_90_percent_of_what_can_be_rescued(policy, robot, finish):
    check_rescues(TASK, policy, robot, finish)

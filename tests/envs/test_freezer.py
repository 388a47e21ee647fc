import numpy as np
import pytest
from misbehaviour import RESTOCK_POLICIES, check_rescues, check_successes_from_reset
from sop_envs import kinematics as kin
from sop_envs.catalogue import product_named
from sop_envs.robots import make_so101
from sop_envs.tasks.freezer_scene import HINGE_X_M, INSIDE_Y_M, SLOTS, draw_layout

from sop_bench.errors import ConfigurationError
from sop_bench.robot import Outcome

TASK = "restock/freezer"


def test_the_product_asked_for_waits_outside_and_its_compartment_is_free():
    for seed in range(60):
        layout = draw_layout(np.random.default_rng(seed), "train")
        inside = layout.positions_m[:, 1] > INSIDE_Y_M[0]
        assert not inside[layout.goal_item]
        assert inside.sum() <= 1
        assert len(layout.positions_m) == len(layout.products)


def test_train_scenes_use_train_products_only_and_test_targets_are_held_out():
    for seed in range(60):
        train, test = (draw_layout(np.random.default_rng(seed), split) for split in ("train", "test"))
        assert not any(product.held_out for product in train.products)
        assert test.products[0].held_out


def test_the_instruction_names_the_product_and_the_side(robot):
    words = robot.reset(TASK, 11).instruction.split()
    assert words[:2] == ["put", "the"]
    product_named(" ".join(words[2:5]))
    assert words[7] in SLOTS
    assert words[8:] == ["side", "of", "the", "freezer"]
    assert len(words) <= 12  # what a policy can read


def test_the_lid_closes_by_itself_within_a_second_and_a_half(robot):
    still = robot.reset(TASK, 4).commanded_rad
    situation = robot.situation
    for pan, away_rad in ((0, 1.2), (6, -1.2)):
        still[pan] = situation.data.qpos[pan] = situation.data.ctrl[pan] = away_rad
    situation.data.qpos[situation._lid_qpos] = 1.4
    for _ in range(15):
        robot.step(still)
    assert abs(situation.lid_rad) < 0.02
    assert situation.upright_cosine.min() > 0.99


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("station_seed", [0, 1])
def test_the_expert_stocks_while_its_left_hand_holds_the_lid_and_leaves_it_shut(station_seed, split):
    with make_so101(station_seed) as robot:
        robot.reset(TASK, 101, split=split)
        situation, expert, step = robot.situation, robot.expert(), None
        entered = 0
        while step is None or step.outcome is Outcome.RUNNING:
            step = robot.step(expert.act())
            assert not expert.assess().hazard
            if situation.hand_below_lid and situation.inside(situation.goal_item):
                entered += 1
                assert situation.lid_rad > 0.9
        assert step.reason == "stocked"
        assert entered > 5
        assert situation.slot_of(situation.goal_item) == situation.goal_slot
        assert situation.lid_rad < 0.06
        assert not situation.hand_below_lid


def test_success_needs_the_lid_shut(robot):
    robot.reset(TASK, 4)
    situation, expert = robot.situation, robot.expert()
    while not expert._done:
        assert robot.step(expert.act()).outcome is Outcome.RUNNING
    assert situation.placed_slot(situation.goal_item) == situation.goal_slot
    assert situation.lid_rad > 0.5
    assert situation.outcome()[0] is Outcome.RUNNING


def test_without_a_left_hand_the_right_one_waits_beside_the_freezer(robot):
    reset = robot.reset(TASK, 4)
    expert = robot.expert()
    for _ in range(80):
        action = expert.act()
        action[:6] = reset.commanded_rad[:6]
        assert robot.step(action).outcome is Outcome.RUNNING
    situation = robot.situation
    assert situation.held == situation.goal_item
    assert not situation.hand_below_lid
    assert situation.lid_rad < 0.02


def test_a_lid_that_falls_on_the_hand_is_a_hazard_and_the_expert_opens_it_again(robot, finish):
    robot.reset(TASK, 4)
    situation, expert = robot.situation, robot.expert()
    while not (situation.hand_below_lid and situation.inside(situation.goal_item)):
        robot.step(expert.act())
    hazards = set()
    for _ in range(8):  # the left hand opens, the right one goes on
        action = expert.act()
        action[5] = 0.85
        robot.step(action)
        hazards.add(expert.assess().hazard)
    assert hazards & {"lid on hand", "lid let go"}
    assert finish(robot).outcome is Outcome.SUCCESS


def test_a_product_close_to_the_wall_is_taken_along_it(robot, finish):
    robot.reset(TASK, 4)
    situation = robot.situation
    goal = situation.goal_item
    place = np.add(situation._origin[:2], [0.225, INSIDE_Y_M[0] - 0.042])
    situation.data.qpos[situation._qpos[goal][:2]] = place
    situation.measure()
    assert finish(robot).outcome is Outcome.SUCCESS


def put(situation, item, x_m, y_m, base_m=0.0):
    """Stand a product somewhere else, frame and heights as the situation has them."""
    place = [*np.add(situation._origin[:2], [x_m, y_m]), situation.table_m + base_m]
    situation.data.qpos[situation._qpos[item][:3]] = place
    situation.measure()


def test_a_product_that_stands_on_the_lid_is_fetched_before_the_lid_opens(robot, finish):
    robot.reset(TASK, 4)
    put(robot.situation, robot.situation.goal_item, 0.235, 0.02, 0.069)
    assert finish(robot).outcome is Outcome.SUCCESS


def test_of_two_products_that_touch_the_jaw_closes_around_one(robot, finish):
    robot.reset(TASK, 4)
    situation = robot.situation
    others = [item for item in range(situation.count) if not situation.inside(item)]
    others.remove(situation.goal_item)
    put(situation, situation.goal_item, 0.200, -0.120)
    put(situation, others[0], 0.223, -0.144)
    assert finish(robot).outcome is Outcome.SUCCESS


def test_a_hand_behind_the_freezer_comes_out_before_the_lid_opens(robot, finish):
    robot.reset(TASK, 4)
    situation = robot.situation
    behind = kin.steepest(0.33, 0.10, situation.table_m + 0.03)  # where a lid that does not wait pins the arm
    assert behind is not None
    situation.data.qpos[6:10] = situation.data.ctrl[6:10] = behind
    situation.measure()
    expert = robot.expert()
    while situation.tcp_m[0] > HINGE_X_M:
        assert robot.step(expert.act()).outcome is Outcome.RUNNING
        assert situation.lid_rad < 0.6
    assert finish(robot).outcome is Outcome.SUCCESS


def test_the_hand_that_holds_the_lid_does_not_sink(robot):
    robot.reset(TASK, 4)
    situation, expert = robot.situation, robot.expert()
    right = situation.data.ctrl[6:].copy()
    held = []
    for _ in range(120):  # the right arm does not come
        action = expert.act()
        action[6:] = right
        robot.step(action)
        held.append(situation.lid_held)
    assert all(held[60:])
    assert situation.bar_m[2] - situation.left_tcp_m[2] < 0.030


def test_the_same_scene_can_ask_for_another_product(robot, finish):
    robot.reset(TASK, 4)
    situation = robot.situation
    robot.set_goal(1, situation.goal_slot)
    assert finish(robot).outcome is Outcome.SUCCESS
    assert situation.slot_of(1) == situation.goal_slot
    robot.reset(TASK, 4)
    with pytest.raises(ConfigurationError, match="allowed: items"):
        robot.set_goal(17, 0)


def test_stills_show_the_lid_at_every_angle(robot):
    rng = np.random.default_rng(0)
    labels = [robot.labelled_scene(TASK, rng).labels for _ in range(12)]
    angles = np.array([np.arctan2(*label["lid"]) for label in labels])
    assert (angles < 0.05).any()
    assert (angles > 1.0).any()
    assert all(np.isfinite(np.concatenate(list(label.values()))).all() for label in labels)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_expert_succeeds_in_at_least_97_percent_of_207_scenes_on_nine_stations(split, finish):
    check_successes_from_reset(TASK, split, finish, scenes=23, apart=1000)


@pytest.mark.slow
@pytest.mark.parametrize("policy", RESTOCK_POLICIES)
def test_the_expert_rescues_at_least_90_percent_of_what_can_be_rescued(policy, robot, finish):
    check_rescues(TASK, policy, robot, finish)

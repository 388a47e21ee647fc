import numpy as np
import pytest
from misbehaviour import RESTOCK_POLICIES, check_rescues, check_successes_from_reset
from sop_envs.catalogue import product_named
from sop_envs.robots import make_so101
from sop_envs.so101 import JAW_CLOSED_RAD
from sop_envs.tasks.flat_shelf_scene import SLOTS, draw_layout

from sop_bench.errors import ConfigurationError
from sop_bench.robot import Outcome

TASK = "restock/flat-shelf"
OPEN_SHELF = 3  # a seed whose three slots are all free


def test_train_scenes_use_train_products_only_and_test_targets_are_held_out():
    for seed in range(60):
        train, test = (draw_layout(np.random.default_rng(seed), split) for split in ("train", "test"))
        assert not any(product.held_out for product in train.products)
        assert test.products[test.goal_item].held_out


def test_every_scene_has_a_product_of_the_same_colour_and_one_of_the_same_shape():
    for seed in range(60):
        target, *others = draw_layout(np.random.default_rng(seed), "train").products
        assert any(p.colour == target.colour and p.shape != target.shape for p in others)
        assert any(p.shape == target.shape and p.colour != target.colour for p in others)


def test_products_start_far_enough_apart_for_the_jaw():
    for seed in range(60):
        places = draw_layout(np.random.default_rng(seed), "train").positions_m
        apart = np.linalg.norm(places[:, None] - places[None], axis=2) + np.eye(len(places))
        assert apart.min() > 0.055


def test_the_instruction_names_the_product_and_the_slot(robot):
    words = robot.reset(TASK, 11).instruction.split()
    assert words[:2] == ["put", "the"]
    assert words[-1] == "slot"
    assert words[-2] in SLOTS
    product_named(" ".join(words[2:5]))


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("station_seed", [0, 1])
def test_the_expert_succeeds_from_reset(station_seed, split, finish):
    with make_so101(station_seed) as robot:
        for seed in (101, 102, 103):
            robot.reset(TASK, seed, split=split)
            assert finish(robot).reason == "placed"


def test_the_instruction_decides_which_product_goes_to_which_slot(robot, finish):
    ends = {}
    for item, slot in ((0, 0), (1, 2)):
        robot.reset(TASK, OPEN_SHELF)
        robot.set_goal(item, slot)
        assert finish(robot).outcome is Outcome.SUCCESS
        ends[item, slot] = robot.situation.placed_slot(item)
    assert ends == {(0, 0): 0, (1, 2): 2}


def test_the_same_motion_fails_under_another_instruction(robot):
    reset = robot.reset(TASK, OPEN_SHELF)
    robot.set_goal(0, 0)
    expert, motion = robot.expert(), []
    while True:
        motion.append(expert.act())
        if robot.step(motion[-1]).outcome is not Outcome.RUNNING:
            break
    reasons = {}
    for goal in ((0, 2), (1, 0)):
        robot.reset(TASK, OPEN_SHELF)
        assert robot.set_goal(*goal).instruction != reset.instruction
        for action in motion:
            step = robot.step(action)
        reasons[goal] = step.reason
    assert reasons == {(0, 2): "placed in the wrong slot", (1, 0): "placed the wrong product"}


def test_a_goal_that_the_scene_does_not_offer_is_refused(robot):
    robot.reset(TASK, OPEN_SHELF)
    with pytest.raises(ConfigurationError, match="allowed: items"):
        robot.set_goal(17, 0)


def test_the_expert_sees_the_hazards_of_a_policy_that_grasps_the_wrong_product(robot):
    robot.reset(TASK, OPEN_SHELF)
    situation, expert, hazards = robot.situation, robot.expert(), []
    asked = situation.goal_item, situation.goal_slot
    for _ in range(22):
        situation.goal_item = 1
        action = expert.act()
        situation.goal_item, situation.goal_slot = asked
        robot.step(action)
        hazards.append(expert.assess().hazard)
    assert "misaligned descent" in hazards
    assert hazards[-1] == "wrong item"
    assert not expert.assess().safe


def test_a_jaw_that_closed_on_nothing_is_a_hazard(robot):
    robot.reset(TASK, OPEN_SHELF)
    closed = robot.situation.data.ctrl.astype(np.float32)
    closed[-1] = JAW_CLOSED_RAD
    hazards = []
    for _ in range(12):
        robot.step(closed)
        hazards.append(robot.expert().assess().hazard)
    assert hazards[0] == ""
    assert hazards[-1] == "empty jaw"


def test_a_product_that_is_falling_cannot_be_saved_and_one_that_leans_in_the_hand_can(robot):
    robot.reset(TASK, OPEN_SHELF)
    situation, expert = robot.situation, robot.expert()
    goal, leaning_rad = situation.goal_item, 0.55
    situation.data.qpos[situation._qpos[goal][3:]] = [np.cos(leaning_rad / 2), np.sin(leaning_rad / 2), 0, 0]
    situation.measure()
    assert expert.assess().recoverable  # it leans, on something
    situation.data.qvel[situation._qvel[goal][3]] = 1.5
    situation.measure()
    assert not expert.assess().recoverable
    situation.held = goal
    assert expert.assess().recoverable


def test_progress_grows_while_the_expert_works_and_control_is_safe_once_it_has_lifted(robot):
    robot.reset(TASK, 7)
    expert, progress, safe = robot.expert(), [], []
    while True:
        step = robot.step(expert.act())
        judgement = expert.assess()
        progress.append(judgement.progress)
        safe.append(judgement.safe)
        assert judgement.recoverable
        if step.outcome is not Outcome.RUNNING:
            break
    assert progress[0] < 0.4 < progress[-1] == 1.0
    assert not safe[0]
    assert any(safe[:-5])


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_expert_succeeds_in_at_least_97_percent_of_200_scenes_on_four_stations(split, finish):
    check_successes_from_reset(TASK, split, finish, stations=4, scenes=50)


@pytest.mark.slow
@pytest.mark.parametrize("policy", RESTOCK_POLICIES)
def test_the_expert_rescues_at_least_90_percent_of_what_can_be_rescued(policy, robot, finish):
    check_rescues(TASK, policy, robot, finish)


def test_some_labelled_scenes_show_the_target_in_the_grip(robot):
    rng = np.random.default_rng(0)
    labels = [robot.labelled_scene(TASK, rng).labels for _ in range(60)]
    gripped = [label for label in labels if label["held"][0] == 1]
    assert 2 <= len(gripped) <= 20
    assert all(np.linalg.norm(label["target_minus_tcp"]) < 0.035 for label in gripped)

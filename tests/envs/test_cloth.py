import numpy as np
import pytest
from misbehaviour import (
    CLOTH_POLICIES,
    check_rescues,
    check_successes_from_reset,
    misbehave_folding,
    random_targets,
)
from sop_envs.experts.cloth import FoldExpert
from sop_envs.robots import make_so101
from sop_envs.tasks.cloth_scene import COLOURS, draw_kind, draw_spread, lay_out

from sop_bench.robot import Outcome

FOLD, QUARTER = "cloth/fold", "cloth/quarter"
TASKS = (FOLD, QUARTER)


def test_train_and_test_share_no_kind_of_cloth_but_every_colour():
    kinds = {
        split: [draw_kind(np.random.default_rng(seed), split) for seed in range(600)]
        for split in ("train", "test")
    }
    assert not set(kinds["train"]) & set(kinds["test"])
    assert {kind[0] for kind in kinds["train"]} == {kind[0] for kind in kinds["test"]} == set(COLOURS)


def test_cloths_differ_in_size_place_turn_and_weave():
    generators = [np.random.default_rng(seed) for seed in range(40)]
    layouts = [lay_out(rng, draw_spread(rng, "train")) for rng in generators]
    for values in (
        [layout.cloth.length_m for layout in layouts],
        [layout.cloth.bending_pa for layout in layouts],
        [layout.yaw_rad for layout in layouts],
        [layout.flat_m[0, 0, 0] for layout in layouts],
        [layout.vertices_m[..., 2].max() for layout in layouts],
    ):
        assert np.std(values) > 0


def test_the_instruction_names_the_colour_that_is_seen(robot):
    assert robot.reset(FOLD, 4).instruction == f"fold the {robot.situation.layout.colour} cloth in half"


@pytest.mark.parametrize(("station_seed", "split"), [(0, "train"), (1, "test")])
def test_the_expert_folds_edge_onto_edge(station_seed, split, finish):
    with make_so101(station_seed) as robot:
        robot.reset(FOLD, 101, split=split)
        assert finish(robot).reason == "folded"
        assert (robot.situation.corner_errors_m < 0.010).all()
        assert robot.situation.top_m < 0.028


def test_the_second_fold_starts_from_two_layers_with_the_crease_on_either_side(robot):
    creases = set()
    for seed in range(4):
        robot.reset(QUARTER, seed)
        situation = robot.situation
        assert 0.005 < situation.top_m < 0.030
        assert not situation.folded
        creases.add(situation.layout.corners[0][1] == situation.cloth.columns // 2)
        open_edges = np.linalg.norm(situation.vertices_m[:, 0, :2] - situation.vertices_m[:, -1, :2], axis=1)
        assert open_edges.max() < 0.015
    assert creases == {True, False}


def test_the_expert_folds_the_second_time_across_the_first(robot, finish):
    robot.reset(QUARTER, 2)
    assert robot.situation.instruction.endswith("in quarters")
    assert finish(robot).reason == "folded"
    assert robot.situation.stack_error_m < 0.030


@pytest.mark.parametrize("stride_m", [0.005, 0.015])
def test_a_slow_carry_holds_as_well_as_a_fast_one(stride_m, robot):
    robot.reset(FOLD, 5)
    expert = FoldExpert(robot.situation, carry_stride_m=stride_m)
    while (step := robot.step(expert.act())).outcome is Outcome.RUNNING:
        pass
    assert step.reason == "folded"


def test_a_squeezed_tab_does_not_sink_into_the_pads(robot):
    depth_m = 0.0
    for _ in _held_steps(robot, 20):
        data = robot.situation.data
        for contact in data.contact[: data.ncon]:
            names = {robot.situation.model.geom(int(geom)).name for geom in contact.geom if geom >= 0}
            if names & {"far_left", "far_right"} and any(name.endswith("_pad") for name in names):
                depth_m = max(depth_m, -float(contact.dist))
    assert 0 < depth_m < 0.0005


def test_a_held_tab_hardly_creeps(robot):
    for _ in _held_steps(robot, 5):
        pass
    situation, target = robot.situation, robot.situation.data.ctrl.astype(np.float32)
    places = []
    for _ in range(25):
        robot.step(target)
        places.append(
            [hand.seen_from(tab) for hand, tab in zip(situation.hands, situation.tab_m[2:], strict=True)]
        )
    crept_m = np.linalg.norm(np.array(places[-1]) - places[4], axis=-1)
    assert (crept_m < 0.0015).all()  # in two seconds


@pytest.mark.parametrize("task", TASKS)
def test_a_cloth_that_is_thrown_about_keeps_its_size(task, robot):
    robot.reset(task, 10_100, split="test")
    expert, situation, rng = robot.expert(), robot.situation, np.random.default_rng(10_100)
    lengths_m = situation.model.flexedge_length0
    while situation.held != [2, 3]:
        robot.step(expert.act())
        assert np.ptp(situation.data.flexedge_length / lengths_m) < 0.25
    for _ in range(8):
        stride = rng.choice([-1, 1], 12) * robot.spec.max_step_rad * ([1, 1, 1, 1, 1, 0] * 2)
        for _ in range(3):
            if robot.step((situation.data.ctrl + stride).astype(np.float32)).outcome is not Outcome.RUNNING:
                return
            assert (situation.data.flexedge_length / lengths_m).max() < 2.5
    assert not situation.data.warning.number.any()


def test_an_open_gripper_leaves_the_tab_behind(robot):
    for _ in _held_steps(robot, 8):
        pass
    situation, target = robot.situation, robot.situation.data.ctrl.astype(np.float32)
    assert situation.held == [2, 3]
    assert (situation.tab_m[2:, 2] > 0.015).all()
    target[[5, 11]] = 0.45
    for _ in range(6):
        robot.step(target)
    assert situation.held == [None, None]
    for side in (0, 1):
        assert np.linalg.norm(situation.tab_m[2 + side] - situation.hands[side].grip_m(0.016)) > 0.02
    target[[1, 7]] -= 0.3  # both arms lean back, hands rise
    for _ in range(6):
        robot.step(target)
    for side in (0, 1):
        assert np.linalg.norm(situation.tab_m[2 + side] - situation.hands[side].tcp_m) > 0.03


def _held_steps(robot, count: int):
    """Let the expert act until both tabs are held, then yield after each of `count` steps more."""
    robot.reset(FOLD, 3)
    expert, situation = robot.expert(), robot.situation
    while situation.held != [2, 3]:
        robot.step(expert.act())
    for _ in range(count):
        robot.step(expert.act())
        yield


def test_a_dropped_corner_is_fetched_again(robot, finish):
    for _ in _held_steps(robot, 8):
        pass
    target = robot.situation.data.ctrl.astype(np.float32)
    target[11] = 0.6
    for _ in range(4):
        robot.step(target)
    assert robot.situation.held == [2, None]
    assert robot.expert().assess().hazard
    assert finish(robot).reason == "folded"


def test_progress_grows_while_the_expert_works_and_control_is_safe_once_both_tabs_are_up(robot):
    robot.reset(FOLD, 7)
    expert, progress, safe, held = robot.expert(), [], [], []
    while True:
        step = robot.step(expert.act())
        judgement = expert.assess()
        progress.append(judgement.progress)
        safe.append(judgement.safe)
        held.append(robot.situation.held)
        assert judgement.recoverable
        if step.outcome is not Outcome.RUNNING:
            break
    assert progress[0] < 0.2 < 0.9 < progress[-1]
    assert not safe[0]
    assert any(flag and hands == [2, 3] for flag, hands in zip(safe, held, strict=True))


def test_random_targets_never_upset_the_solver(robot):
    robot.reset(FOLD, 8)
    rng = np.random.default_rng(8)
    for _ in range(60):
        if robot.step(random_targets(robot, rng).astype(np.float32)).outcome is not Outcome.RUNNING:
            break
    assert not robot.situation.data.warning.number.any()


def test_a_cloth_is_drawn_from_the_first_image_on_whatever_was_drawn_before(robot):
    robot.reset("restock/flat-shelf", 0).images["front"]
    image = robot.reset(FOLD, 2).images["front"].astype(float)
    colour = np.array(COLOURS[robot.situation.layout.colour])
    hue = image / np.maximum(image.sum(-1, keepdims=True), 1)
    assert (np.linalg.norm(hue - colour / colour.sum(), axis=-1) < 0.06).mean() > 0.08


def test_stills_show_every_stage_with_the_labels_of_a_live_episode(robot):
    rng = np.random.default_rng(0)
    scenes = [robot.labelled_scene(FOLD, rng) for _ in range(30)]
    robot.reset(FOLD, 0)
    assert {k: v.shape for k, v in scenes[0].labels.items()} == {
        k: v.shape for k, v in robot.labels().items()
    }
    held = np.array([scene.labels["tabs_held"] for scene in scenes])
    assert 0.2 < held.mean() < 0.8
    for scene in scenes:
        for side, name in enumerate(("left", "right")):
            if scene.labels["tabs_held"][side]:
                assert np.linalg.norm(scene.labels[f"{name}_tab_minus_tcp"]) < 0.045
    ways = np.array([np.linalg.norm(scene.labels["goals_minus_tabs"][:2]) for scene in scenes])
    assert ways.min() < 0.03 < 0.11 < ways.max()


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_expert_succeeds_in_at_least_97_percent_of_198_test_scenes_on_nine_stations(task, finish):
    check_successes_from_reset(task, "test", finish)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("policy", CLOTH_POLICIES)
def test_the_expert_rescues_at_least_90_percent_of_what_can_be_rescued(policy, task, robot, finish):
    check_rescues(task, policy, robot, finish, misbehave_folding, scenes=60, at_least=45)

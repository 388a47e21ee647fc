# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

import mujoco
import numpy as np
import pytest
from misbehaviour import BOX_POLICIES, check_rescues, check_successes_from_reset, misbehave_closing
from sop_envs.carton import FAR, LEFT, NEAR, RIGHT
from sop_envs.experts.box_close import Job
from sop_envs.robots import make_so101
from sop_envs.tasks.box_close_scene import draw_layout, kinds_of

from sop_bench.robot import Outcome

TASK = "box/close"
WRONG_ORDERS = {  # angles of what is shut, in the order near, far, right, left
    "right over open minors": {RIGHT: 0.02},
    "left over open minors": {LEFT: 0.02},
    "both over open minors": {RIGHT: 0.02, LEFT: 0.02},
    "right over left": {RIGHT: 0.20, LEFT: 0.0},
    "right over one minor": {NEAR: 0.05, RIGHT: 0.02},
}


def _shut(robot, angles: dict[int, float]) -> None:
    """Let some flaps of a fresh episode lie shut, with creases that have yielded, and settle."""
    situation = robot.situation
    start = situation.angles_rad.copy()
    for flap, angle in angles.items():
        start[flap] = angle
    rest = np.where(start < 0.3, start + 0.5 * np.array(situation.carton.yield_rad), start)
    situation.flaps.pose(start, rest)
    situation.advance(25)
    situation.measure()


def _anyhow(robot, rng: np.random.Generator) -> None:
    """Each flap anywhere, and up to three of them shut in any order."""
    angles = dict(enumerate(rng.uniform(0.5, 2.4, 4)))
    angles.update(dict.fromkeys(rng.permutation(4)[: rng.integers(0, 4)].tolist(), 0.03))
    _shut(robot, angles)


# ---------------------------------------------------------------------------------------------- the scene


def test_no_combination_of_size_colour_and_print_is_in_both_splits_and_every_word_is_in_both():
    train, test = set(kinds_of("train")), set(kinds_of("test"))
    assert not train & test
    assert len(test) == pytest.approx(0.2 * (len(train) + len(test)), abs=2)
    for place in range(3):
        assert {kind[place] for kind in train} == {kind[place] for kind in test}


def test_the_instruction_names_what_is_seen():
    for seed in range(40):
        layout = draw_layout(np.random.default_rng(seed), "test")
        kind = layout.size_name, layout.colour_name, layout.carton.print_name
        assert kind in kinds_of("test")
        assert " ".join((*kind, "box")) in layout.instruction


def test_cartons_differ_in_size_stiffness_pose_and_opening():
    layouts = [draw_layout(np.random.default_rng(seed), "train") for seed in range(30)]
    assert np.ptp([layout.carton.size_m for layout in layouts], axis=0).min() > 0.008
    assert np.ptp([layout.carton.stiffness_nm_per_rad for layout in layouts]) > 0.01
    assert np.ptp([layout.yaw_rad for layout in layouts]) > 0.2
    assert np.ptp([layout.angles_rad for layout in layouts], axis=0).min() > 0.3


# ---------------------------------------------------------------------------------------------- the carton


def test_a_crease_forgets_a_small_bend_and_remembers_a_large_one(robot):
    robot.reset(TASK, 0)
    situation = robot.situation
    before = situation.rest_rad.copy()
    for bend, remembered in ((0.15, False), (0.60, True)):
        bent = before.copy()
        bent[NEAR] -= bend
        situation.flaps.pose(bent, before)
        situation.advance(250)
        situation.measure()
        assert (situation.angles_rad[NEAR] < before[NEAR] - 0.1) == remembered


def test_all_that_a_carton_remembers_is_part_of_the_saved_state(robot):
    robot.reset(TASK, 3)
    situation, expert = robot.situation, robot.expert()
    for _ in range(25):
        robot.step(expert.act())
    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    saved = np.empty(mujoco.mj_stateSize(situation.model, kind))
    mujoco.mj_getState(situation.model, situation.data, saved, kind)
    ends = []
    for _ in range(2):
        mujoco.mj_setState(situation.model, situation.data, saved, kind)
        situation.advance(50)
        ends.append((situation.flaps.angles_rad.copy(), situation.flaps.rest_rad.copy()))
    assert np.array_equal(ends[0], ends[1])


def test_the_order_of_flaps_decides_whether_the_latch_takes_hold(robot):
    closed = {NEAR: 0.05, FAR: 0.05, RIGHT: 0.05, LEFT: 0.05}
    latched = {}
    for name, angles in (
        ("in order", closed),
        ("a minor open", {**closed, NEAR: 1.9}),
        ("right on top", {**closed, RIGHT: 0.20, LEFT: 0.0}),
    ):
        robot.reset(TASK, 1)
        _shut(robot, angles)
        latched[name] = robot.situation.latched
    assert latched == {"in order": True, "a minor open": False, "right on top": False}


def test_a_latched_carton_that_nobody_touches_is_a_success(robot):
    robot.reset(TASK, 1)
    _shut(robot, {NEAR: 0.02, FAR: 0.02, RIGHT: 0.02, LEFT: 0.02})
    assert robot.situation.outcome() == (Outcome.SUCCESS, "closed and latched")


# ---------------------------------------------------------------------------------------------- the expert


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("station_seed", [0, 1])
def test_the_expert_succeeds_from_reset(station_seed, split, finish):
    with make_so101(station_seed) as robot:
        for seed in (101, 102):
            robot.reset(TASK, seed, split=split)
            assert finish(robot).reason == "closed and latched"


def test_the_expert_folds_minors_first_then_right_then_left(robot):
    robot.reset(TASK, 5)
    expert, order = robot.expert(), []
    while True:
        due = {job.flap for job in expert.jobs().values()}
        if due and (not order or order[-1] != due):
            order.append(due)
        if robot.step(expert.act()).outcome is not Outcome.RUNNING:
            break
    assert order[0] == {NEAR, FAR}
    assert order[-2:] == [{RIGHT}, {LEFT}]


@pytest.mark.parametrize("wrong", WRONG_ORDERS)
def test_the_expert_pries_open_what_was_shut_too_early(wrong, robot, finish):
    robot.reset(TASK, 10_003, split="test")
    _shut(robot, WRONG_ORDERS[wrong])
    assert any(job.opens for job in robot.expert().jobs().values())
    assert robot.expert().assess().hazard == "wrong order"
    assert finish(robot).outcome is Outcome.SUCCESS


def test_the_flap_on_top_is_opened_first(robot):
    robot.reset(TASK, 2)
    _shut(robot, WRONG_ORDERS["both over open minors"])
    assert robot.expert().jobs() == {"right": Job(LEFT, opens=True)}
    robot.reset(TASK, 2)
    _shut(robot, WRONG_ORDERS["right over left"])
    assert robot.expert().jobs() == {"left": Job(RIGHT, opens=True)}


def test_progress_grows_while_the_expert_works_and_its_course_is_safe(robot):
    robot.reset(TASK, 7)
    expert, progress, safe = robot.expert(), [], []
    while True:
        step = robot.step(expert.act())
        judgement = expert.assess()
        progress.append(judgement.progress)
        safe.append(judgement.safe)
        assert not judgement.hazard
        if step.outcome is not Outcome.RUNNING:
            break
    best = np.maximum.accumulate(progress)
    assert progress[0] < 0.4 < progress[-1] == 1.0
    assert max(np.diff(np.flatnonzero(np.diff(best, prepend=-1) > 1e-3))) <= 12  # steps without progress
    assert np.mean(safe) > 0.7


def test_labels_tell_angles_edges_and_what_is_due(robot):
    robot.reset(TASK, 0)
    labels, situation = robot.labels(), robot.situation
    edges = labels["edges_xyz"].reshape(4, 3)
    assert edges[NEAR, 0] < edges[FAR, 0]
    assert edges[RIGHT, 1] < edges[LEFT, 1]
    np.testing.assert_allclose(np.arctan2(*labels["angles"].reshape(2, 4)), situation.angles_rad, atol=1e-5)
    assert labels["due"].tolist() == [1, 1, 0, 0, 0]


def test_labelled_scenes_show_open_and_closed_flaps_and_repeat_with_their_generator(robot):
    rng = np.random.default_rng(0)
    closed = np.array([robot.labelled_scene(TASK, rng).labels["closed"] for _ in range(30)])
    assert (closed.mean(axis=0) > 0.1).all()
    assert (closed.mean(axis=0) < 0.8).all()
    first, again = (robot.labelled_scene(TASK, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first.observation.images["front"], again.observation.images["front"])
    robot.reset(TASK, 0)
    assert {k: v.shape for k, v in robot.labels().items()} == {k: v.shape for k, v in first.labels.items()}


# ---------------------------------------------------------------------------------------------- the rates


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_expert_succeeds_in_at_least_97_percent_of_198_scenes_on_nine_stations(split, finish):
    check_successes_from_reset(TASK, split, finish)


@pytest.mark.slow
@pytest.mark.parametrize("start", [*WRONG_ORDERS, "anyhow"])
def test_the_expert_saves_at_least_90_percent_of_wrong_starts(start, finish):
    successes = 0
    for station_seed in (0, 4):
        with make_so101(station_seed) as robot:
            for seed in range(30_000, 30_020):
                robot.reset(TASK, seed, split="test")
                if start == "anyhow":
                    _anyhow(robot, np.random.default_rng(seed))
                else:
                    _shut(robot, WRONG_ORDERS[start])
                successes += finish(robot).outcome is Outcome.SUCCESS
    assert successes >= 36


@pytest.mark.slow
@pytest.mark.parametrize("policy", BOX_POLICIES)
def test_the_expert_rescues_at_least_90_percent_of_what_a_bad_policy_left(policy, robot, finish):
    check_rescues(TASK, policy, robot, finish, misbehave_closing, scenes=60, at_least=40)

"""A health run says what goes wrong, and in which episode, however often it was interrupted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import fake_health
import numpy as np
import pandas as pd
import pytest
from fakes import TASKS, ReachRobot

from sop_bench import cli
from sop_bench.errors import ConfigurationError
from sop_bench.fleet.engine import InlineEngine
from sop_bench.policy.base import Policy
from sop_bench.policy.stress import AbruptPolicy, SmoothPolicy
from sop_bench.robot import make_robot
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.studies import health_report
from sop_bench.studies.actors import actor, execute_steps
from sop_bench.studies.health import HealthConfig, check_health, examine, scene

CONFIG = HealthConfig(TASKS, "shaky", episodes=40)
PER_TASK = 20  # of which every tenth is a warning, a NaN, a deep penetration, a divergence


@pytest.fixture(scope="module", autouse=True)
def shaky(tmp_path_factory: pytest.TempPathFactory) -> None:
    fake_health.register(tmp_path_factory.mktemp("shaky"))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("health")
    check_health(CONFIG, directory, InlineEngine())
    return directory


@pytest.fixture
def summary(directory: Path) -> dict:
    return json.loads((directory / "summary.json").read_text())


def rows(directory: Path) -> pd.DataFrame:
    return pd.read_parquet(directory / "episodes.parquet").drop(columns="wall_cpu_s")


def without_clock(path: Path) -> dict:
    facts = json.loads(path.read_text())
    for task in facts["tasks"].values():
        del task["wall_cpu_s"]
    return facts


def test_warnings_nans_divergences_and_penetrations_are_each_reported_with_their_episodes(summary: dict):
    assert summary["complete"]
    assert list(summary["tasks"]) == list(TASKS)
    for facts in summary["tasks"].values():
        assert facts["episodes"] == PER_TASK
        assert facts["warnings"] == {"badqacc": 2, "contactfull": 4}
        for name, trouble in (("not_finite", fake_health.NAN), ("faults", fake_health.DIVERGED)):
            assert [episode["seed"] % 10 for episode in facts[name]] == [trouble, trouble]
        deep = facts["quantities"]["penetration_m"]
        assert deep["beyond"] == 2
        assert deep["worst"][0]["value"] == 0.04
        assert deep["worst"][0]["where"] == "elbow | desk"
        assert deep["worst"][0]["seed"] % 10 == fake_health.DEEP
        assert facts["quantities"]["speed_m_s"]["beyond"] == 0


def test_bounds_stand_in_the_record_with_their_reasons(summary: dict):
    assert summary["bounds"]["penetration_m"] == {"limit": 0.01, "reason": "half an elbow"}


def test_the_table_and_the_text_name_the_offending_episodes(summary: dict):
    text = health_report.as_text(summary)
    assert text.startswith("40 of 40 episodes.")
    assert "diverged" in text
    assert "penetration 40 mm, elbow | desk, at 0.3 s" in text
    assert "sop-bench watch reach/near --policy random --instance" in text
    assert health_report.as_table(summary).row_count == len(TASKS)


def test_a_fault_counts_the_steps_before_it(directory: Path):
    table = rows(directory)
    faults = table[table["reason"] == "robot fault"]
    assert len(faults) == 4
    assert (faults["steps"] == 2).all()


def test_stopped_and_resumed_it_gives_the_same_record(directory: Path, tmp_path: Path):
    def stop(done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_health(CONFIG, tmp_path, InlineEngine(), stop)
    half = json.loads((tmp_path / "summary.json").read_text())
    assert not half["complete"]
    assert half["episodes"] == len(rows(tmp_path)) == 7
    check_health(CONFIG, tmp_path, InlineEngine())
    pd.testing.assert_frame_equal(rows(tmp_path), rows(directory))
    assert without_clock(tmp_path / "summary.json") == without_clock(directory / "summary.json")
    sittings = json.loads((tmp_path / "manifest.json").read_text())["sittings"]
    assert [sitting["episodes_by_its_end"] for sitting in sittings] == [7, 40]


def test_a_sitting_that_was_killed_is_remembered(tmp_path: Path):
    small = HealthConfig(TASKS, "shaky", episodes=4)
    check_health(small, tmp_path, InlineEngine())
    path = tmp_path / "manifest.json"
    killed = {**json.loads(path.read_text()), "ended_wall": None, "sittings": []}
    path.write_text(json.dumps(killed))
    check_health(small, tmp_path, InlineEngine())
    sittings = json.loads(path.read_text())["sittings"]
    assert [sitting["ended_wall"] is None for sitting in sittings] == [True, False]
    assert [sitting["episodes_by_its_end"] for sitting in sittings] == [None, 4]


def test_a_smaller_run_is_extended_to_the_same_record(directory: Path, tmp_path: Path):
    check_health(HealthConfig(TASKS, "shaky", episodes=10), tmp_path, InlineEngine())
    check_health(CONFIG, tmp_path, InlineEngine())
    pd.testing.assert_frame_equal(rows(tmp_path), rows(directory))


def test_another_cut_is_another_run(directory: Path):
    with pytest.raises(ConfigurationError, match="seconds"):
        check_health(HealthConfig(TASKS, "shaky", 40, seconds=1.0), directory, InlineEngine())


def test_episodes_are_cut_and_say_so():
    config = HealthConfig(TASKS, "shaky", seconds=1.0)
    cut = examine(config, scene(config, TASKS[1], 0))
    assert (cut.steps, cut.outcome, cut.reason) == (10, "timeout", "cut")


def test_weights_are_shares_and_every_task_gets_one():
    assert HealthConfig(TASKS, episodes=40, weights=((TASKS[1], 0.25),)).shares() == {
        TASKS[0]: 32,
        TASKS[1]: 8,
    }
    assert HealthConfig(TASKS, episodes=1).shares() == dict.fromkeys(TASKS, 1)
    with pytest.raises(ConfigurationError, match="allowed: above 0"):
        HealthConfig(TASKS, weights=((TASKS[0], 0.0),))


def test_every_station_meets_every_policy_and_split():
    scenes = [scene(CONFIG, TASKS[0], index) for index in range(54)]
    assert len({(one.station_seed, one.policy, one.split) for one in scenes}) == 54
    assert len({one.seed for task in TASKS for one in [scene(CONFIG, task, 0)]}) == len(TASKS)


def test_a_robot_that_cannot_look_into_itself_is_refused(world, tmp_path: Path):
    with pytest.raises(ConfigurationError, match="cannot look into its physics"):
        check_health(HealthConfig(TASKS, "reach"), tmp_path, InlineEngine())
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_the_table_and_where_the_records_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    arguments = ["--adapter", "shaky", "--episodes", "6", "--workers", "0", "--weights", f"{TASKS[1]}=0.5"]
    monkeypatch.setattr(sys, "argv", ["sop-bench", "health", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = capsys.readouterr().out
    assert not ended.value.code
    assert "6 of 6 episodes" in shown
    assert "runs/health/summary.json" in shown
    monkeypatch.setattr(sys, "argv", ["sop-bench", "health", "--adapter", "shaky", "--weights", "much"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2


# ------------------------------------------------------------------------------------------- policies


@pytest.mark.parametrize("kind", [SmoothPolicy, AbruptPolicy])
def test_stress_policies_stay_within_the_limits_and_need_nothing_but_their_seed(kind: type):
    robot = ReachRobot(0)
    observation, policy = robot.reset(TASKS[0], 0), kind(robot.spec)
    plans = [policy.act(observation, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(plans[0], plans[1])
    assert (plans[0] != plans[2]).any()
    for plan in plans:
        assert plan.shape == (policy.chunk_steps, 2)
        assert (plan >= robot.spec.joint_lower_rad).all()
        assert (plan <= robot.spec.joint_upper_rad).all()


def test_abrupt_targets_jump_and_are_often_at_a_limit_while_smooth_ones_start_gently():
    robot, rng = ReachRobot(0), np.random.default_rng(0)
    observation = robot.reset(TASKS[0], 0)
    abrupt = np.concatenate([AbruptPolicy(robot.spec).act(observation, rng) for _ in range(50)])
    assert 0.2 < np.isin(np.abs(abrupt), 2.0).mean() < 0.45
    smooth = [SmoothPolicy(robot.spec).act(observation, rng) for _ in range(50)]
    assert max(np.abs(plan[0] - observation.commanded_rad).max() for plan in smooth) < 0.3


def test_watching_an_episode_runs_the_one_that_was_recorded():
    which = scene(CONFIG, TASKS[1], 9)
    with make_robot("shaky", station_seed=which.station_seed) as robot:
        policy: Policy = actor(which.policy, robot)
        request = EpisodeRequest(
            which.task, which.seed, which.split, execute_steps=execute_steps(which.policy)
        )
        episode = run_episode(robot, policy, request)
    examined = examine(CONFIG, which)
    assert examined.scene.policy == "smooth"
    assert (examined.steps, examined.reason) == (len(episode.frames), episode.header.reason)

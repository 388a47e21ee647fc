"""A fleet under the virtual clock: the same records however they are computed, and honest times."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from cells import SHORT, assert_same_records, read_records, small_cell, without_wall
from fakes import ReachWorld

from sop_bench.errors import ConfigurationError, CorruptDataError
from sop_bench.fleet.cell import CellConfig, EvaluationPlan, Rounds
from sop_bench.fleet.engine import InlineEngine
from sop_bench.fleet.journal import Journal
from sop_bench.fleet.latency import ZERO
from sop_bench.fleet.processes import ProcessEngine
from sop_bench.fleet.virtual import CellProgress, CellResult, run_cell
from sop_bench.learner.optimiser import DivergedError, LearnerConfig
from sop_bench.posttrain.hg_dagger import HGDagger


@pytest.fixture(scope="module")
def config(world: ReachWorld) -> CellConfig:
    return small_cell(world.checkpoint, world.demos)


@pytest.fixture(scope="module")
def inline(config: CellConfig, tmp_path_factory: pytest.TempPathFactory) -> CellResult:
    return run_cell(config, InlineEngine(), tmp_path_factory.mktemp("inline"))


def run(config: CellConfig, directory: Path) -> CellResult:
    return run_cell(config, InlineEngine(), directory)


# ------------------------------------------------------------------------------------ the same records


def test_the_tables_on_disk_are_the_ones_returned(inline: CellResult):
    assert_same_records(read_records(inline.directory), inline)


@pytest.mark.slow
def test_records_do_not_depend_on_the_number_of_workers(
    config: CellConfig, inline: CellResult, tmp_path: Path
):
    for workers in (1, 2):
        with ProcessEngine(workers) as engine:
            assert_same_records(run_cell(config, engine, tmp_path / str(workers)), inline)


def test_another_seed_gives_other_records(config: CellConfig, inline: CellResult, tmp_path: Path):
    other = run(replace(config, seed=1), tmp_path)
    assert set(other.episodes["scene"]).isdisjoint(inline.episodes["scene"])


def test_the_first_robot_of_a_larger_fleet_meets_the_same_scenes(
    config: CellConfig, inline: CellResult, tmp_path: Path
):
    one = run(replace(config, robots=1), tmp_path).episodes["scene"].tolist()
    two = inline.episodes.query("robot == 0")["scene"].tolist()
    common = min(len(one), len(two))
    assert one[:common] == two[:common]


def test_a_finished_cell_is_read_from_its_journal(config: CellConfig, inline: CellResult, tmp_path: Path):
    run(config, tmp_path)

    class NoEngine(InlineEngine):
        def submit(self, job, /, *args, affinity=None, background=False):
            assert job.__name__ == "forget_learner_job", "everything else was computed before"
            return super().submit(job, *args)

    assert_same_records(run_cell(config, NoEngine(), tmp_path), inline)


class StoppingEngine(InlineEngine):
    """Fails every task after the first few, as an engine does that is being closed."""

    def __init__(self, tasks: int):
        super().__init__()
        self._left = tasks

    def submit(self, job, /, *args, affinity=None, background=False):
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return super().submit(job, *args)


@pytest.mark.parametrize("tasks", [1, 15, 24])
def test_a_cell_that_was_stopped_ends_with_the_same_records(
    config: CellConfig, inline: CellResult, tmp_path: Path, tasks: int
):
    with pytest.raises(KeyboardInterrupt):
        run_cell(config, StoppingEngine(tasks), tmp_path)
    assert_same_records(run(config, tmp_path), inline)


def test_a_cell_in_rounds_that_was_stopped_ends_with_the_same_records(config: CellConfig, tmp_path: Path):
    in_rounds = replace(config, rounds=Rounds(4, (5.0, 10.0, 15.0, 20.0)), save_every=1)
    whole = run(in_rounds, tmp_path / "whole")
    assert whole.versions["learner_step"].tolist() == [25, 50, 75, 100]
    with pytest.raises(KeyboardInterrupt):
        run_cell(in_rounds, StoppingEngine(20), tmp_path / "stopped")
    assert_same_records(run(in_rounds, tmp_path / "stopped"), whole)


def test_a_journal_line_cut_short_is_computed_again(config: CellConfig, inline: CellResult, tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        run_cell(config, StoppingEngine(15), tmp_path)
    with (tmp_path / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"key":"episode/0/9","resu')
    assert_same_records(run(config, tmp_path), inline)


def test_a_damaged_journal_is_named_with_its_line(config: CellConfig, tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        run_cell(config, StoppingEngine(5), tmp_path)
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"?" + journal.read_bytes())
    with pytest.raises(CorruptDataError, match=r"Line 1 of .*journal\.jsonl is damaged"):
        run(config, tmp_path)


class FailingEngine(InlineEngine):
    """Computes spans only until the third."""

    def submit(self, job, /, *args, affinity=None, background=False):
        if job.__name__ == "train_span_job" and args[0].spans[-1].number == 3:
            job, args = _diverge, ()
        return super().submit(job, *args)


def _diverge() -> Any:
    raise DivergedError("the loss is nan") from ValueError("far away")


def test_a_learner_that_diverges_stops_the_cell_with_its_own_error(config: CellConfig, tmp_path: Path):
    with pytest.raises(DivergedError, match="the loss is nan") as raised:
        run_cell(config, FailingEngine(), tmp_path)
    assert isinstance(raised.value.__cause__, ValueError)
    assert not list(tmp_path.glob("updates/v000003*"))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_cell_that_is_killed_leaves_nothing_running_and_ends_with_the_same_records(
    world: ReachWorld, config: CellConfig, inline: CellResult, tmp_path: Path, how: signal.Signals
):
    script = Path(__file__).with_name("cells.py")
    paths = [str(world.path), str(script.parents[1]), str(script.parent)]
    command = [sys.executable, str(script), str(world.checkpoint), str(world.demos), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    journal = tmp_path / "journal.jsonl"
    wait_for(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 12, 120)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(how)
    process.wait(20)
    wait_for(lambda: not any(worker.is_running() for worker in workers), 10)
    assert not (tmp_path / "episodes.parquet").exists()
    with ProcessEngine(1) as engine:
        assert_same_records(run_cell(config, engine, tmp_path), inline)


def wait_for(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def test_another_configuration_is_refused_by_name(config: CellConfig, inline: CellResult):
    changed = replace(config, seed=5, learner=LearnerConfig(batch_size=8, learning_rate=1e-3))
    with pytest.raises(ConfigurationError, match=r"another learner\.batch_size, seed\. Repeat"):
        run(changed, inline.directory)


def test_a_cell_is_run_by_one_process_at_a_time(config: CellConfig, inline: CellResult):
    with (
        Journal(inline.directory, config.identity()),
        pytest.raises(ConfigurationError, match="Another process is running the cell"),
    ):
        run(config, inline.directory)


def test_files_may_move_if_their_content_stays(config: CellConfig, inline: CellResult, tmp_path: Path):
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(config.checkpoint.read_bytes())
    assert_same_records(run(replace(config, checkpoint=moved), inline.directory), inline)


# --------------------------------------------------------------------------------------- honest times


def test_an_episode_goes_through_its_stations_in_order(config: CellConfig, inline: CellResult):
    episodes = inline.episodes
    assert len(episodes) > 8
    np.testing.assert_allclose(episodes["started_s"] - episodes["pulled_s"], config.reset_s)
    np.testing.assert_allclose(episodes["ended_s"] - episodes["started_s"], episodes["duration_s"])
    assert (episodes["ended_s"] <= config.duration_s).all()
    for before, after in (
        ("ended_s", "uploaded_s"),
        ("uploaded_s", "ingested_s"),
        ("ingested_s", "first_sampled_s"),
    ):
        known = episodes[episodes[after].notna()]
        assert len(known)
        assert (known[before] <= known[after]).all()


def test_weights_are_at_least_as_old_as_their_way_to_the_robot(config: CellConfig, inline: CellResult):
    online = inline.episodes.query("policy_version > 0").merge(
        inline.versions, left_on="policy_version", right_on="version"
    )
    assert len(online)
    delay = [
        arrived[robot] - published
        for arrived, robot, published in zip(
            online["arrived_s"], online["robot"], online["published_s"], strict=True
        )
    ]
    assert min(delay) > 0
    assert (online["weights_age_s"] >= np.array(delay) + config.reset_s).all()
    assert (inline.episodes["versions_behind"] >= 0).all()


def test_without_latency_everything_arrives_at_once(config: CellConfig, tmp_path: Path):
    result = run(replace(config, latency=ZERO), tmp_path)
    sent = result.episodes[result.episodes["uploaded_s"].notna()]
    np.testing.assert_array_equal(sent["uploaded_s"], sent["ended_s"])
    for arrived, published in zip(result.versions["arrived_s"], result.versions["published_s"], strict=True):
        assert set(arrived) == {published}


def test_versions_are_numbered_and_acknowledged_at_a_pull(config: CellConfig, inline: CellResult):
    versions = inline.versions
    assert versions["version"].tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(versions["published_s"], versions["version"] * config.span_s)
    pulls = set(inline.episodes["pulled_s"])
    for arrived, acknowledged in zip(versions["arrived_s"], versions["acknowledged_s"], strict=True):
        for a, b in zip(arrived, acknowledged, strict=True):
            assert np.isnan(b) or b >= a
            assert np.isnan(b) or b in pulls or b + config.reset_s + 4 > config.duration_s


def test_an_evaluation_uses_the_newest_version_and_the_same_scenes(inline: CellResult):
    evaluations = inline.evaluations
    assert evaluations.groupby("time_s")["policy_version"].unique().map(list).to_dict() == {
        0.0: [0],
        50.0: [2],
        100.0: [4],
    }
    for _, rows in evaluations.groupby("time_s"):
        assert rows["scene"].tolist() == list(range(8))


def test_the_control_trains_as_much_and_never_runs_a_robot(
    config: CellConfig, inline: CellResult, tmp_path: Path
):
    control = run(replace(config, robots=0), tmp_path)
    assert len(control.episodes) == 0
    assert list(control.episodes.columns) == list(inline.episodes.columns)
    assert control.learner["learner_step"].tolist() == inline.learner["learner_step"].tolist()
    assert (control.learner["omega_on"] == 0).all()
    assert (inline.learner["omega_on"].iloc[-1]) > 0


# ------------------------------------------------------------------------------- people and accidents


def test_scarce_operators_make_robots_wait(config: CellConfig, inline: CellResult, tmp_path: Path):
    scarce = run(replace(config, operators=1), tmp_path)
    assert len(scarce.episodes) < len(inline.episodes)
    rows = scarce.episodes.sort_values("started_s")
    assert rows["supervised"].all()
    assert (rows["pulled_s"].to_numpy()[1:] >= rows["ended_s"].to_numpy()[:-1]).all()


def test_or_let_them_run_unsupervised(config: CellConfig, inline: CellResult, tmp_path: Path):
    loose = run(replace(config, operators=1, without_operator="unsupervised"), tmp_path)
    alone = loose.episodes.query("not supervised")
    assert 0 < len(alone) < len(loose.episodes)
    assert (alone["takeovers"] == 0).all()


def test_a_fleet_without_a_supervisor_has_no_takeovers(config: CellConfig, tmp_path: Path):
    result = run(replace(config, supervisor=None, algorithm=HGDagger("successes")), tmp_path)
    assert not result.episodes["supervised"].any()
    assert (result.episodes["operator_s"] == 0).all()


def test_a_robot_that_faults_goes_on(config: CellConfig, tmp_path: Path):
    result = run(replace(config, robots=2, station_seeds=(1, 666)), tmp_path)
    faults = result.episodes.query("robot == 1")
    assert len(faults) > 3
    assert (faults["reason"] == "robot fault: the elbow fell off").all()
    assert faults["uploaded_s"].isna().all()
    assert result.episodes.query("robot == 0")["trainable_frames"].sum() > 0


class DamagingEngine(InlineEngine):
    """Cuts the file of one episode short."""

    def submit(self, job, /, *args, affinity=None, background=False):
        future = super().submit(job, *args)
        if job.__name__ == "run_episode_job" and args[0].request.episode_id.endswith("r00-e00001"):
            path = args[0].output
            path.write_bytes(path.read_bytes()[:300])
        return future


def test_a_damaged_episode_is_recorded_and_nothing_else_is_lost(
    config: CellConfig, inline: CellResult, tmp_path: Path
):
    with pytest.warns(RuntimeWarning, match="left out"):
        result = run_cell(config, DamagingEngine(), tmp_path)
    problems = result.episodes.query("problem != ''")
    assert [str(name)[-10:] for name in problems["episode_id"]] == ["r00-e00001"]
    assert problems["trainable_frames"].tolist() == [0]
    assert result.learner["learner_step"].iloc[-1] == inline.learner["learner_step"].iloc[-1]


# ----------------------------------------------------------------------------------- files and reports


def test_only_files_that_may_be_needed_stay(config: CellConfig, inline: CellResult, tmp_path: Path):
    def numbers(directory: Path, pattern: str) -> list[int]:
        return sorted(int(path.stem.strip("v")) for path in directory.glob(pattern))

    assert numbers(inline.directory, "states/*") == [2, 4]
    assert 1 not in numbers(inline.directory, "updates/*")
    assert len(list(inline.directory.glob("episodes/*"))) >= len(inline.episodes)
    frugal = run(replace(config, keep_updates=True, keep_episodes=False), tmp_path)
    assert numbers(tmp_path, "updates/*") == [1, 2, 3, 4]
    assert len(list(tmp_path.glob("episodes/*"))) < len(inline.episodes) / 2
    assert (
        without_wall(frugal.evaluations)
        .drop(columns="policy_hash")
        .equals(without_wall(inline.evaluations).drop(columns="policy_hash"))
    )


def test_progress_is_told_and_ends_with_the_whole(config: CellConfig, tmp_path: Path):
    told: list[CellProgress] = []
    result = run_cell(config, InlineEngine(), tmp_path, told.append)
    assert [event.virtual_s for event in told] == sorted(event.virtual_s for event in told)
    assert told[-1].episodes == len(result.episodes)
    assert told[-1].helped == (result.episodes["takeovers"] > 0).sum()
    assert told[-1].learner_step == 100
    last = result.evaluations.query("time_s == 100")["success"].mean()
    assert (told[-1].success, told[-1].success_s) == (pytest.approx(last), 100.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reset_s": 0}, r"reset_s is 0; allowed: above 0"),
        ({"robots": -1}, r"robots is -1; allowed: 0 \(the control\) or more"),
        ({"tasks": ()}, "at least one task"),
        ({"robot_tasks": (("reach/near",),)}, "one entry per robot"),
        ({"robot_tasks": (("reach/nearer",),) * 2}, "tasks out of"),
        ({"evaluation": EvaluationPlan((10.0, 5.0))}, "rising times between 0 and duration_s"),
    ],
)
def test_a_cell_that_makes_no_sense_is_refused(config: CellConfig, change: dict, message: str):
    with pytest.raises(ConfigurationError, match=message):
        replace(config, **change)


def test_missing_files_are_named(config: CellConfig, tmp_path: Path):
    with pytest.raises(ConfigurationError, match="No demonstrations in"):
        run(replace(config, demos=tmp_path), tmp_path / "cell")
    with pytest.raises(ConfigurationError, match="No checkpoint at"):
        run(replace(config, checkpoint=tmp_path / "none"), tmp_path / "cell")


def test_robots_may_keep_to_their_tasks(config: CellConfig, tmp_path: Path):
    fixed = replace(config, robot_tasks=(("reach/near",), ("reach/far",)), latency=SHORT)
    tasks = run(fixed, tmp_path).episodes.groupby("robot")["task"].unique()
    assert tasks.map(list).to_dict() == {0: ["reach/near"], 1: ["reach/far"]}

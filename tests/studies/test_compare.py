"""Comparing SOP with rounds: equal budgets, results that can be resumed, and figures from records alone."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fakes import OPERATOR, TASKS, ReachWorld
from PIL import Image
from rich.console import Console

from sop_bench.errors import ConfigurationError, CorruptDataError
from sop_bench.fleet.cell import CellConfig, Rounds
from sop_bench.studies import compare as comparing
from sop_bench.studies import running
from sop_bench.studies.compare import (
    CompareStudy,
    attention_by_round,
    compare_study,
    load_comparison,
)
from sop_bench.studies.compare_figure import draw_comparison
from sop_bench.studies.compare_report import as_markdown, as_rich, differences
from sop_bench.studies.compare_summary import ARMS, CONTROL_ARM, ROUNDS, SOP
from sop_bench.studies.fleet_study import scopes
from sop_bench.studies.live import CellKey
from sop_bench.studies.running import run_study

INTERVAL = {"mean", "low", "high"}
DURATION_S = 120.0


def quiet() -> Console:
    return Console(file=io.StringIO(), width=120)


def make_study(world: ReachWorld, **changes: Any) -> CompareStudy:
    settings: dict[str, Any] = {
        "checkpoint": world.checkpoint,
        "demos": world.demos,
        "adapter": "reach",
        "tasks": TASKS,
        "reset_s": 5.0,
        "evaluation_times_s": (0.0, 40.0, 80.0, DURATION_S),
        "evaluation_episodes": 4,
        "rounds": 3,
        "learner_steps_per_s": 1.0,
        "publish_every": 5,
        "seeds": (0,),
    }
    return compare_study("smoke", **{**settings, **changes})


@pytest.fixture(scope="module")
def template(world: ReachWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison of two tasks; people on hand who take over from a robot this small."""
    directory = tmp_path_factory.mktemp("compare") / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparing, "cell_config", with_operator(comparing.cell_config))
        comparing.compare(make_study(world), directory, workers=0, fresh=False, console=quiet())
    return directory


def with_operator(cell_config):
    def patched(study, key: CellKey, demos: Path) -> CellConfig:
        return replace(cell_config(study, key, demos), supervisor=OPERATOR)

    return patched


@pytest.fixture
def finished(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "study"))


def episodes_of(directory: Path, arm: str) -> pd.DataFrame:
    episodes = pd.read_parquet(directory / "episodes.parquet")
    return episodes[episodes["arm"] == arm]


# ------------------------------------------------------------------------------------------ equal budgets


def test_at_the_end_of_every_round_both_fleets_have_had_the_same_gradient_steps(template: Path):
    evaluations = pd.read_parquet(template / "evaluations.parquet")
    steps = evaluations.groupby(["arm", "time_s"])["learner_step"].first().unstack("arm")
    assert steps.index.tolist() == [0, 40, 80, 120]
    assert steps[ROUNDS].tolist() == steps[SOP].tolist() == steps[CONTROL_ARM].tolist() == [0, 40, 80, 120]


def test_at_the_end_of_every_round_the_rounds_cost_no_more_attention_than_an_episode_of_each_robot(
    template: Path, world: ReachWorld
):
    study = make_study(world)
    allowed = attention_by_round(episodes_of(template, SOP), study)
    spent = attention_by_round(episodes_of(template, ROUNDS), study)
    slack = study.robots * episodes_of(template, ROUNDS)["operator_s"].max()
    assert allowed[-1] > 0
    assert all(mine <= cap + slack for mine, cap in zip(spent, allowed, strict=True))


def test_both_fleets_are_used_for_the_same_time_and_never_idle(template: Path):
    for arm in (SOP, ROUNDS):
        episodes = episodes_of(template, arm)
        for _, mine in episodes.sort_values("started_s").groupby("robot"):
            idle_s = mine["pulled_s"].to_numpy()[1:] - mine["ended_s"].to_numpy()[:-1]
            np.testing.assert_allclose(idle_s, 0, atol=1e-9)
            assert mine["ended_s"].iloc[-1] > DURATION_S - 5 - 4
    budgets = json.loads((template / "summary.json").read_text())["budgets"]
    assert budgets[SOP]["robot_hours"] == budgets[ROUNDS]["robot_hours"] == 2 * DURATION_S / 3600
    assert budgets[SOP]["gradient_steps"] == budgets[ROUNDS]["gradient_steps"]
    assert budgets[CONTROL_ARM]["robot_hours"] == budgets[CONTROL_ARM]["operator_minutes"] == 0


def test_in_a_round_every_robot_acts_with_what_the_last_round_brought(template: Path):
    rounds = episodes_of(template, ROUNDS)
    assert (rounds["policy_version"] == rounds["pulled_s"] // 40).all()
    assert set(rounds["policy_version"]) == {0, 1, 2}
    assert episodes_of(template, SOP)["policy_version"].nunique() > 3


def test_a_round_is_trained_on_everything_that_ended_in_it(template: Path):
    rounds = episodes_of(template, ROUNDS)
    ended_s, ingested_s = rounds["ended_s"].to_numpy(), rounds["ingested_s"].to_numpy()
    inside = np.abs(ended_s - 40 * np.round(ended_s / 40)) > 1e-6  # at the very end, it may go either way
    assert inside.sum() > 20
    np.testing.assert_allclose(ingested_s[inside], 40 * np.ceil(ended_s[inside] / 40))


def test_when_the_attention_is_spent_robots_run_unsupervised_until_the_next_round(
    world: ReachWorld, tmp_path: Path
):
    from sop_bench.fleet.engine import InlineEngine
    from sop_bench.fleet.virtual import run_cell

    study = make_study(world)
    config = replace(
        comparing.cell_config(study, CellKey(0, 2, ROUNDS), world.demos),
        rounds=Rounds(3, (0.0, 1e9, 1e9)),
        supervisor=OPERATOR,
    )
    episodes = run_cell(config, InlineEngine(), tmp_path).episodes
    first = episodes["pulled_s"] < 40
    assert not episodes.loc[first, "supervised"].any()
    assert (episodes.loc[first, "operator_s"] == 0).all()
    assert episodes.loc[~first, "supervised"].all()


def test_rounds_that_do_not_come_out_even_are_refused(world: ReachWorld):
    with pytest.raises(ConfigurationError, match="divides the 120 gradient steps"):
        make_study(world, rounds=7)
    with pytest.raises(ConfigurationError, match="divides"):
        make_study(world, rounds=0)


def test_a_cell_without_rounds_keeps_the_name_it_had(world: ReachWorld):
    study = make_study(world)
    plain = comparing.cell_config(study, CellKey(0, 2, SOP), world.demos)
    assert "rounds" not in plain.identity()
    assert "rounds" in replace(plain, rounds=Rounds(3)).identity()


# ------------------------------------------------------------------------------------- results and records


def test_every_arm_imitates_the_frames_that_the_study_says(world: ReachWorld):
    study = make_study(world, imitate="weighted")
    cells = [comparing.cell_config(study, key, world.demos) for key in study.cells]
    assert {cell.algorithm.name for cell in cells} == {"hg-dagger/weighted"}


def test_the_summary_has_every_family_and_task_with_intervals_and_tests(template: Path):
    summary = json.loads((template / "summary.json").read_text())
    assert summary["seeds"] == [0]
    for name in ("pretrained_success", "control_success_end", "rounds_success_end", "sop_success_end"):
        assert set(summary[name]) == INTERVAL
    assert [scope["scope"] for scope in summary["scopes"]] == ["reach", *TASKS]
    assert summary["sop_success_end"] == summary["scopes"][0]["arms"][SOP]["success"]  # of both tasks
    for scope in summary["scopes"]:
        assert list(scope["arms"]) == list(ARMS)
        assert len(scope["contrasts"]) == 6
        for arm in scope["arms"].values():
            assert set(arm["success"]) == INTERVAL
            terminated, successes = arm["terminated_per_hour"], arm["successes_per_hour"]
            assert successes["mean"] <= terminated["mean"]
            assert arm["terminated_per_hour_with_resets"]["mean"] < terminated["mean"]
        for contrast in scope["contrasts"]:
            first, second = (scope["arms"][contrast[which]]["success"] for which in ("first", "second"))
            assert contrast["difference"]["mean"] == pytest.approx(second["mean"] - first["mean"])
            assert 0 <= contrast["p_value"] <= 1


def test_throughput_counts_episodes_over_their_own_time(template: Path):
    evaluations = pd.read_parquet(template / "evaluations.parquet")
    last = evaluations[(evaluations["arm"] == SOP) & (evaluations["time_s"] == DURATION_S)]
    result = load_comparison(template).scopes[0].arms[SOP]
    hours = last["duration_s"].sum() / 3600
    assert result.terminated_per_hour.mean == pytest.approx(len(last) / hours)
    assert result.successes_per_hour.mean == pytest.approx(last["success"].sum() / hours)


def test_figure_and_tables_need_records_alone(finished: Path, tmp_path: Path):
    for name in ("summary.json", "comparison.png", "comparison.pdf"):
        (finished / name).unlink()
    shutil.rmtree(finished / "work")
    summary = load_comparison(finished)
    png, pdf = draw_comparison(summary, tmp_path / "again")
    with Image.open(png) as image:
        assert image.size == (1440, 620)
    assert pdf.read_bytes().startswith(b"%PDF")
    assert "| reach | SOP + HG-DAgger |" in as_markdown(summary)
    assert any(line.startswith("reach: sop - rounds") for line in differences(summary))


def test_the_table_fits_a_terminal_of_eighty_columns(template: Path):
    console = Console(file=io.StringIO(), width=80)
    console.print(as_rich(load_comparison(template)))
    lines = console.file.getvalue().splitlines()  # pyright: ignore[reportAttributeAccessIssue]
    assert any("SOP + HG-DAgger" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_a_finished_comparison_is_not_computed_again(
    world: ReachWorld, finished: Path, monkeypatch: pytest.MonkeyPatch
):
    from sop_bench.fleet.engine import InlineEngine

    class NoEngine(InlineEngine):
        def submit(self, job, /, *args, affinity=None, background=False):
            assert job.__name__ == "forget_learner_job", "everything else was computed before"
            return super().submit(job, *args)

    monkeypatch.setattr(running, "make_engine", lambda workers: NoEngine())
    monkeypatch.setattr(comparing, "cell_config", with_operator(comparing.cell_config))
    monkeypatch.setattr(
        comparing, "COMPARISON", replace(comparing.COMPARISON, draw=lambda summary, stem: None)
    )
    before = json.loads((finished / "summary.json").read_text())
    again = comparing.compare(make_study(world), finished, workers=0, fresh=False, console=quiet())
    assert again.as_dict() == before


def test_a_comparison_with_other_settings_is_refused_unless_fresh(world: ReachWorld, finished: Path):
    with pytest.raises(ConfigurationError, match=r"another rounds.*--fresh"):
        comparing.compare(make_study(world, rounds=2), finished, workers=0, fresh=False, console=quiet())


def test_rounds_begin_only_when_it_is_known_what_sop_was_charged(world: ReachWorld, tmp_path: Path):
    ended: list[CellKey] = []

    def record(key: CellKey, folder: Path, tell) -> None:
        if key.arm == ROUNDS:
            assert replace(key, arm=SOP) in ended
        ended.append(key)
        raise_at_the_end(ended)

    def raise_at_the_end(keys: list[CellKey]) -> None:
        if len(keys) == 6:
            raise CorruptDataError("there are no records to merge")

    study = make_study(world, seeds=(0, 1))
    with pytest.raises(CorruptDataError, match="no records"):
        run_study(study, tmp_path, record, comparing.COMPARISON, console=quiet(), concurrent_cells=6)
    assert len(ended) == 6


def test_results_are_told_by_family_by_task_and_for_all():
    tasks = ("restock/a", "cloth/fold", "restock/b")
    assert scopes(tasks) == {
        "restock": ("restock/a", "restock/b"),
        "restock/a": ("restock/a",),
        "restock/b": ("restock/b",),
        "cloth": ("cloth/fold",),
        "all": tasks,
    }
    assert scopes(("box/close",)) == {"box": ("box/close",)}

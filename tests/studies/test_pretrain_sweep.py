"""Sweeping the pretraining data: nested subsets, the same run for all, and figures from records alone."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from fakes import TASKS, ReachWorld
from PIL import Image
from rich.console import Console

from sop_bench.episode import load_header
from sop_bench.errors import ConfigurationError
from sop_bench.policy.checkpoint import load_checkpoint
from sop_bench.studies import pretrain_sweep as sweeping
from sop_bench.studies import running
from sop_bench.studies.cloning import CloningConfig
from sop_bench.studies.pretrain_sweep import SweepStudy, load_sweep, sweep_study
from sop_bench.studies.sweep_figure import draw_sweep
from sop_bench.studies.sweep_pretraining import nested_subsets
from sop_bench.studies.sweep_report import as_markdown, as_rich, differences

FRACTIONS = ("1/8", "1/2", "full")
INTERVAL = {"mean", "low", "high"}


def quiet() -> Console:
    return Console(file=io.StringIO(), width=120)


def make_study(world: ReachWorld, **changes: Any) -> SweepStudy:
    settings: dict[str, Any] = {
        "checkpoint": world.checkpoint,
        "demos": world.demos,
        "adapter": "reach",
        "tasks": TASKS,
        "reset_s": 5.0,
        "evaluation_times_s": (0.0, 30.0, 60.0),
        "evaluation_episodes": 3,
        "learner_steps_per_s": 0.5,
        "publish_every": 10,
        "seeds": (0,),
        "cloning": CloningConfig(steps=4, batch_size=8),
    }
    return sweep_study("smoke", **{**settings, **changes})


@pytest.fixture(scope="module")
def template(world: ReachWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sweep") / "study"
    sweeping.pretrain_sweep(make_study(world), directory, workers=0, fresh=False, console=quiet())
    return directory


@pytest.fixture
def finished(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "study"))


def test_a_fraction_holds_the_first_demonstrations_of_each_task_and_lies_within_the_next(world: ReachWorld):
    files = sorted(world.demos.glob("*.parquet"))
    subsets = nested_subsets(files, TASKS, FRACTIONS)
    assert [len(subsets[name]) for name in FRACTIONS] == [2, 4, 6]
    assert set(subsets["1/8"]) < set(subsets["1/2"]) < set(subsets["full"]) == set(files)
    for subset in subsets.values():
        tasks = [load_header(file).task for file in subset]
        assert tasks.count(TASKS[0]) == tasks.count(TASKS[1])


def test_a_task_without_demonstrations_is_named(world: ReachWorld):
    with pytest.raises(ConfigurationError, match="No demonstration of fold"):
        nested_subsets(sorted(world.demos.glob("*.parquet")), (*TASKS, "fold"), FRACTIONS)


def test_every_arm_has_its_own_offline_data_and_one_encoder(template: Path, world: ReachWorld):
    work = template / "work"
    for fraction, number in zip(FRACTIONS, (2, 4, 6), strict=True):
        name = fraction.replace("/", "-")
        assert len(list((work / f"demonstrations-{name}").glob("*.parquet"))) == number
        made = load_checkpoint(work / "pretrained" / f"{name}-seed-0.safetensors")
        assert made.facts["pretrain_sweep"]["demonstrations"] == number
        base = load_checkpoint(world.checkpoint).policy.encoder.state_dict()
        assert all(torch.equal(value, base[key]) for key, value in made.policy.encoder.state_dict().items())
        cell = json.loads((work / f"{name}-seed-0" / "cell.json").read_text())["identity"]
        assert cell["robots"] == 2
        assert cell["duration_s"] == 60


def test_the_summary_says_what_each_scale_had_and_gained(template: Path):
    summary = json.loads((template / "summary.json").read_text())
    assert [scale["fraction"] for scale in summary["scales"]] == list(FRACTIONS)
    assert [scale["demonstrations"] for scale in summary["scales"]] == [2, 4, 6]
    for scale in summary["scales"]:
        for name in ("success_before", "success_after", "gain"):
            assert set(scale[name]) == INTERVAL
        assert scale["gain"]["mean"] == pytest.approx(
            scale["success_after"]["mean"] - scale["success_before"]["mean"]
        )
    assert [scope["scope"] for scope in summary["scopes"]] == ["reach", *TASKS]
    assert summary["scales"][0]["success_after"] == summary["scopes"][0]["scales"][0]["success_after"]
    for scope in summary["scopes"]:
        means = [scale["success_after"]["mean"] for scale in scope["scales"]]
        assert scope["order_kept_after"] == (means[0] < means[1] < means[2])
        assert len(scope["contrasts_before"]) == len(scope["contrasts_after"]) == 2
    curve = pd.read_csv(template / "curve.csv")
    assert set(curve["arm"]) == set(FRACTIONS)


def test_figure_and_tables_need_records_alone(finished: Path, tmp_path: Path):
    for name in ("summary.json", "pretraining.png", "pretraining.pdf"):
        (finished / name).unlink()
    shutil.rmtree(finished / "work")
    summary = load_sweep(finished)
    png, pdf = draw_sweep(summary, tmp_path / "again")
    with Image.open(png) as image:
        assert image.size == (1440, 620)
    assert pdf.read_bytes().startswith(b"%PDF")
    lines = as_markdown(summary).splitlines()
    assert lines[2].startswith("| reach | 1/8 | 2 (")
    assert lines[2].endswith("| 0.39 / 0.815 |")
    assert any(line.startswith("reach before: 1/2 - 1/8") for line in differences(summary))


def test_the_table_fits_a_terminal_of_eighty_columns(template: Path):
    console = Console(file=io.StringIO(), width=80)
    console.print(as_rich(load_sweep(template)))
    lines = console.file.getvalue().splitlines()  # pyright: ignore[reportAttributeAccessIssue]
    assert max(map(len, lines)) <= 80
    assert any("paper 0.39" in line for line in lines)


def test_a_finished_sweep_is_not_computed_again_and_a_stopped_one_goes_on(
    world: ReachWorld, finished: Path, monkeypatch: pytest.MonkeyPatch
):
    from sop_bench.fleet.engine import InlineEngine

    submitted: list[str] = []

    class Watching(InlineEngine):
        def submit(self, job, /, *args, affinity=None, background=False):
            submitted.append(job.__name__)
            return super().submit(job, *args)

    monkeypatch.setattr(running, "make_engine", lambda workers: Watching())
    monkeypatch.setattr(sweeping, "SWEEP", replace(sweeping.SWEEP, draw=lambda summary, stem: None))
    before = json.loads((finished / "summary.json").read_text())
    # As if stopped while the last evaluation of the last cell was computed.
    journal = finished / "work" / "full-seed-0" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    again = sweeping.pretrain_sweep(make_study(world), finished, workers=0, fresh=False, console=quiet())
    assert again.as_dict() == before
    assert set(submitted) == {"clone_job", "forget_learner_job", "evaluate_job"}
    assert submitted.count("evaluate_job") == 1


@pytest.mark.parametrize("fractions", [(), ("2",), ("0",), ("1/2", "0.5"), ("half",)])
def test_fractions_that_make_no_sweep_are_refused(world: ReachWorld, fractions: tuple[str, ...]):
    with pytest.raises(ConfigurationError, match=r"fraction|Fractions"):
        make_study(world, fractions=fractions)

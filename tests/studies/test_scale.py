"""A scaling study from cells to summary, table and figure, with cells that are written instead of run."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from sop_bench.errors import ConfigurationError, CorruptDataError
from sop_bench.studies import records, scale
from sop_bench.studies.figures import draw_scaling
from sop_bench.studies.live import CellKey, CellState, StudyDisplay
from sop_bench.studies.manifest import read_manifest
from sop_bench.studies.profiles import ScaleStudy, scale_study
from sop_bench.studies.report import as_markdown, as_rich
from sop_bench.studies.running import CellRunner, claim, run_study
from sop_bench.studies.scale import load_summary
from sop_bench.studies.summary import Summary, summarise
from tests.studies.synthetic import TIMES_S, write_cell, write_cells

INTERVAL = {"mean", "low", "high"}


def quiet() -> Console:
    return Console(file=io.StringIO(), width=120)


def make_study(directory: Path) -> ScaleStudy:
    checkpoint = directory / "policy.safetensors"
    checkpoint.write_bytes(b"weights")
    return scale_study(
        "smoke",
        (1, 2, 4),
        checkpoint=checkpoint,
        demos=directory / "demos",
        seeds=(0, 1),
        evaluation_times_s=tuple(TIMES_S.tolist()),
    )


@pytest.fixture
def study(tmp_path: Path) -> ScaleStudy:
    return make_study(tmp_path)


@pytest.fixture
def console() -> Console:
    return quiet()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take a second each, and most tests look at something else."""
    monkeypatch.setattr(scale, "SCALING", replace(scale.SCALING, draw=lambda summary, stem: None))


def run_scale(
    study: ScaleStudy,
    directory: Path,
    run_cell: CellRunner,
    *,
    console: Console,
    fresh: bool = False,
    **how: Any,
) -> Summary:
    """A scaling study whose cells are not those of a fleet."""
    claim(study, directory, fresh)
    return run_study(study, directory, run_cell, scale.SCALING, console=console, **how)


class WrittenCells:
    """Runs a cell by writing its records; remembers which were asked for."""

    def __init__(self):
        self.keys: list[CellKey] = []

    def __call__(self, key: CellKey, folder: Path, tell) -> None:
        self.keys.append(key)
        tell(CellState(virtual_s=600, episodes=10, helped=4, learner_step=100, success=0.7, success_s=600))
        write_cell(folder, key.robots, key.seed, scenes=40)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scale")
    run_scale(make_study(root), root / "study", WrittenCells(), console=quiet())
    return root / "study"


@pytest.fixture
def finished(template: Path, tmp_path: Path) -> Path:
    """A finished study of one's own."""
    return Path(shutil.copytree(template, tmp_path / "study"))


def test_the_summary_file_has_the_promised_schema(finished: Path):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["seeds"] == [0, 1]
    assert set(summary["pretrained_success"]) == INTERVAL
    assert set(summary["control_success_end"]) == INTERVAL
    assert [cell["robots"] for cell in summary["cells"]] == [1, 2, 4]
    for cell in summary["cells"]:
        assert set(cell["success_end"]) == INTERVAL
        assert set(cell["time_to_target_s"]) == INTERVAL | {"censored"}
        assert set(cell["speedup"]) == INTERVAL
        assert cell["robot_minutes_to_target"] == pytest.approx(
            cell["robots"] * cell["time_to_target_s"]["mean"] / 60
        )
        assert cell["operator_minutes"] == pytest.approx(cell["robots"] * 79 * 2 / 60)
    assert summary["cells"][0]["speedup"]["mean"] == 1.0


def test_records_hold_every_cell_and_name_machine_time_as_such(finished: Path):
    evaluations = pd.read_parquet(finished / "evaluations.parquet")
    assert len(evaluations) == 2 * 4 * len(TIMES_S) * 40
    curve = pd.read_csv(finished / "curve.csv")
    assert len(curve) == 2 * 4 * len(TIMES_S)
    assert (curve["low"] <= curve["success"]).all()
    assert (curve["success"] <= curve["high"]).all()
    assert len(pd.read_parquet(finished / "learner.parquet")) <= 8 * 400
    for name in records.TABLES[:2]:
        assert list(pd.read_parquet(finished / f"{name}.parquet").columns[:2]) == ["robots", "seed"]


def test_the_control_collects_no_episodes_and_costs_no_operator(finished: Path):
    control = pd.read_csv(finished / "curve.csv").query("robots == 0")
    assert (control["online_episodes"] == 0).all()
    assert (control["operator_minutes"] == 0).all()


def test_the_manifest_says_what_was_run_on_what(finished: Path):
    manifest = read_manifest(finished)
    assert manifest is not None
    assert manifest["config"]["robots"] == [1, 2, 4]
    assert len(manifest["files"]["checkpoint"]["sha256"]) == 64
    assert {"cores", "cpu", "memory_gib", "python", "gl"} <= set(manifest["machine"])
    assert manifest["packages"]["torch"]
    assert manifest["ended_wall"] >= manifest["started_wall"]


@pytest.mark.usefixtures("undrawn")
def test_the_manifest_is_written_before_the_first_step(study: ScaleStudy, console: Console, tmp_path: Path):
    def cell_that_looks(key: CellKey, folder: Path, tell) -> None:
        manifest = read_manifest(tmp_path / "study")
        assert manifest is not None
        assert manifest["ended_wall"] is None
        write_cell(folder, key.robots, key.seed, scenes=10)

    run_scale(study, tmp_path / "study", cell_that_looks, console=console)


def test_figure_and_table_need_records_alone(finished: Path, tmp_path: Path):
    (finished / "summary.json").unlink()
    summary = load_summary(finished)
    png, pdf = draw_scaling(summary, tmp_path / "again")
    with Image.open(png) as image:
        assert image.size == (1440, 620)
    assert pdf.read_bytes().startswith(b"%PDF")
    lines = as_markdown(summary).splitlines()
    assert lines[2].startswith("| pretrained | 0.")
    assert lines[6].startswith("| 4 robots | 0.")
    assert "0.925 / 71.7 / 2.4" in lines[6]


def test_the_table_fits_a_terminal_of_eighty_columns(finished: Path):
    console = Console(file=io.StringIO(), width=80)
    console.print(as_rich(load_summary(finished)))
    lines = console.file.getvalue().splitlines()  # pyright: ignore[reportAttributeAccessIssue]
    assert max(map(len, lines)) <= 80
    assert any(line.lstrip().startswith("4 robots ") for line in lines)
    assert any("paper 0.925" in line and "paper 71.7" in line and "paper 2.4" in line for line in lines)


def test_the_report_prints_from_a_shell(finished: Path):
    command = [sys.executable, "-m", "sop_bench.studies.report", str(finished)]
    assert "| 4 robots |" in subprocess.run(command, check=True, capture_output=True, text=True).stdout
    outcome = subprocess.run([*command[:-1], "nowhere"], capture_output=True, text=True)
    assert outcome.returncode == 2
    assert "holds no study" in outcome.stderr


def test_the_same_records_give_the_same_numbers(finished: Path):
    assert load_summary(finished).as_dict() == load_summary(finished).as_dict()


@pytest.mark.usefixtures("undrawn")
def test_larger_fleets_can_be_added_to_a_study(study: ScaleStudy, console: Console, tmp_path: Path):
    run_scale(replace(study, robots=(1, 2)), tmp_path / "study", WrittenCells(), console=console)
    summary = run_scale(study, tmp_path / "study", WrittenCells(), console=console)
    assert [cell.robots for cell in summary.cells] == [1, 2, 4]


@pytest.mark.usefixtures("undrawn")
def test_a_folder_with_another_study_is_refused_unless_fresh(
    study: ScaleStudy, console: Console, finished: Path
):
    other = replace(study, evaluation_episodes=9)
    with pytest.raises(ConfigurationError, match=r"another evaluation_episodes.*--fresh"):
        run_scale(other, finished, WrittenCells(), console=console)
    run_scale(other, finished, WrittenCells(), console=console, fresh=True)


@pytest.mark.usefixtures("undrawn")
def test_another_checkpoint_under_the_same_name_is_noticed(
    study: ScaleStudy, console: Console, finished: Path
):
    study.checkpoint.write_bytes(b"other weights")
    with pytest.raises(ConfigurationError, match="another checkpoint"):
        run_scale(study, finished, WrittenCells(), console=console)


@pytest.mark.usefixtures("undrawn")
def test_a_cell_that_fails_stops_the_study_and_leaves_it_resumable(
    study: ScaleStudy, console: Console, tmp_path: Path
):
    stopped = []

    def failing(key: CellKey, folder: Path, tell) -> None:
        if key.robots == 2:
            raise CorruptDataError("a damaged file")
        write_cell(folder, key.robots, key.seed, scenes=10)

    with pytest.raises(CorruptDataError, match="a damaged file"):
        run_scale(study, tmp_path / "study", failing, console=console, stop=lambda: stopped.append(True))
    assert stopped == [True]
    summary = run_scale(study, tmp_path / "study", WrittenCells(), console=console)
    assert len(summary.cells) == 3


def test_missing_evaluations_are_noticed(tmp_path: Path):
    cells = write_cells(tmp_path / "work", seeds=1, scenes=10)
    path = cells[1][2] / "evaluations.parquet"
    pd.read_parquet(path).iloc[:-1].to_parquet(path)
    with pytest.raises(CorruptDataError, match="fleet of 1 has 129 evaluation episodes"):
        records.gather(cells, tmp_path)


def test_a_damaged_table_is_named(finished: Path):
    (finished / "evaluations.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(CorruptDataError, match=r"evaluations\.parquet is damaged"):
        load_summary(finished)


def test_a_study_without_fleets_or_with_a_fleet_of_none_is_refused(study: ScaleStudy):
    for robots in ((), (0,), (1, 1), (-2,)):
        with pytest.raises(ConfigurationError, match="make no study"):
            replace(study, robots=robots).check()


def test_the_live_table_shows_every_cell_and_an_estimate():
    keys = [CellKey(0, n) for n in (0, 1, 4)]
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    with StudyDisplay(keys, 1200, console) as display:
        display.update(keys[1], CellState(virtual_s=600, episodes=40, helped=10, success=0.75, success_s=480))
        display.update(keys[2], CellState(virtual_s=1200, episodes=160, helped=16, finished=True))
        console.print(display.render())
    shown = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "control" in shown
    assert "10.0 / 20" in shown
    assert "25%" in shown
    assert "0.75 at 8 min" in shown
    assert "left" in shown


def test_elsewhere_than_on_a_terminal_progress_is_plain_lines(console: Console):
    with StudyDisplay([CellKey(0, 1)], 1200, console) as display:
        display.update(CellKey(0, 1), CellState(virtual_s=300, success=0.5, success_s=300))
    assert "1 robot (seed 0) 25% success 0.50" in console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_study_of_several_tasks_also_says_how_each_of_them_ended(tmp_path: Path):
    cells = write_cells(tmp_path, seeds=2, fleets=(0, 2), scenes=40)
    for _, _, folder in cells:
        table = pd.read_parquet(folder / "evaluations.parquet")
        table["task"] = np.where(table["scene"] < 10, "cloth/fold", "box/close")
        table["success"] |= table["task"] == "box/close"
        table.to_parquet(folder / "evaluations.parquet", index=False)
        episodes = pd.read_parquet(folder / "episodes.parquet").assign(task="cloth/fold")
        episodes.to_parquet(folder / "episodes.parquet", index=False)
    found = summarise(records.gather(cells, tmp_path), target=0.8, resamples=50).as_dict()
    ends = {(row["task"], row["robots"]): row["success_end"]["mean"] for row in found["tasks"]}
    assert set(ends) == {(task, robots) for task in ("box/close", "cloth/fold") for robots in (0, 2)}
    assert ends["box/close", 2] == 1.0
    (fleet,) = found["cells"]
    assert fleet["success_end"]["mean"] == pytest.approx(0.75 + 0.25 * ends["cloth/fold", 2])

"""The table of a scaling study, for a terminal and for a README.

``python -m sop_bench.studies.report results/scale`` prints the Markdown that stands in the README; given the
records of another study, it prints that study's. A second argument is another target to time, such as 0.85.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from sop_bench.errors import SopBenchError
from sop_bench.studies import compare_report, sweep_report
from sop_bench.studies.compare import load_comparison
from sop_bench.studies.manifest import read_manifest
from sop_bench.studies.paper import SCALING, TARGET
from sop_bench.studies.pretrain_sweep import load_sweep
from sop_bench.studies.scale import load_summary
from sop_bench.studies.stats import Interval
from sop_bench.studies.summary import Cell, Summary
from sop_bench.studies.time_to_target import TimeToTarget


def headers(summary: Summary) -> list[str]:
    target = f"{summary.target:.2g}"
    return [
        "fleet",
        f"success at {summary.duration_s / 60:.0f} min",
        f"min to {target}",
        "speed-up",
        f"robot-min to {target}",
        "operator-min",
        f"paper: success / min to {TARGET:g} / speed-up",
    ]


def rows(summary: Summary) -> list[list[str]]:
    """Text of every cell of the table: the pretrained policy, the control, then the fleets."""
    return [
        ["pretrained", _percent(summary.pretrained_success), "", "", "", "", ""],
        ["control (no online data)", _percent(summary.control_success_end), "", "", "", "", ""],
        *(_fleet_row(cell, len(summary.seeds)) for cell in summary.cells),
    ]


def _fleet_row(cell: Cell, seeds: int) -> list[str]:
    time = cell.time_to_target_s
    # With seeds that never got there, the mean holds the study's duration in their place: a lower bound.
    bound = "> " if time.censored else ""
    note = f" ({time.censored} of {seeds} seeds never)" if time.censored else ""
    paper = SCALING.get(cell.robots)
    return [
        "1 robot" if cell.robots == 1 else f"{cell.robots} robots",
        _percent(cell.success_end),
        f"{bound}{_minutes(time):.1f}{note}",
        f"{cell.speedup:.2f}",
        f"{bound}{cell.robot_minutes_to_target:.1f}",
        f"{cell.operator_minutes:.1f}",
        f"{paper.success_end:.3f} / {paper.time_to_target_min} / {paper.speedup}" if paper else "",
    ]


def _percent(interval: Interval) -> str:
    return f"{interval:.3f}"


def caption(summary: Summary) -> str:
    """What the numbers rest on."""
    seeds = len(summary.seeds)
    note = (
        "one seed: the intervals hold no variance between seeds"
        if seeds == 1
        else "bootstrap over seeds and scenes"
    )
    return (
        f"{summary.profile} profile, {seeds} seed{'s' * (seeds > 1)}, {summary.scenes} unseen scenes per "
        f"evaluation, {summary.duration_s / 60:.0f} virtual minutes. Brackets: 95 % intervals ({note})."
    )


def as_rich(summary: Summary) -> Table:
    """The table for a terminal of 80 columns: under each number its interval, and what the paper reports."""
    table = Table(
        title="Success and time to target by fleet size",
        caption=f"{caption(summary)} Control: the same gradient steps without online data.",
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    minutes, target = f"{summary.duration_s / 60:.0f} min", f"{summary.target:.2g}"
    table.add_column("fleet")
    for header in (
        f"success\nat {minutes}",
        f"minutes\nto {target}",
        "speed-up",
        f"robot-min\nto {target}",
        "operator-\nminutes",
    ):
        table.add_column(header, justify="right")
    table.add_row("pretrained", _stacked(summary.pretrained_success, 3))
    table.add_row("control", _stacked(summary.control_success_end, 3), end_section=True)
    for cell in summary.cells:
        table.add_row(*_stacked_row(cell, summary))
    return table


def _stacked_row(cell: Cell, summary: Summary) -> list[str]:
    name, _, _, _, robot_minutes, operator_minutes, _ = _fleet_row(cell, len(summary.seeds))
    time = cell.time_to_target_s
    never = f"[yellow]{time.censored}/{len(summary.seeds)} never[/]" if time.censored else ""
    paper = SCALING.get(cell.robots)
    timed = paper if summary.target == TARGET else None  # times to another target cannot be compared
    return [
        name,
        _stacked(cell.success_end, 3, f"paper {paper.success_end}" if paper else ""),
        _stacked(
            _minutes(time),
            1,
            never,
            f"paper {timed.time_to_target_min}" if timed else "",
            bound="> " if never else "",
        ),
        _stacked(cell.speedup, 2, f"paper {timed.speedup}" if timed else ""),
        robot_minutes,
        operator_minutes,
    ]


def _stacked(interval: Interval, digits: int, *notes: str, bound: str = "") -> str:
    if not math.isfinite(interval.mean):
        return "\n".join(["-", "", *(f"[dim]{note}[/]" for note in notes if note)])
    low, high = f"{interval.low:.{digits}f}", f"{interval.high:.{digits}f}"
    smaller = [f"{low}..{high}", *(note for note in notes if note)]
    return "\n".join([f"[b]{bound}{interval.mean:.{digits}f}[/]", *(f"[dim]{line}[/]" for line in smaller)])


def _minutes(time: TimeToTarget) -> Interval:
    return Interval(time.interval.mean / 60, time.interval.low / 60, time.interval.high / 60)


def as_markdown(summary: Summary) -> str:
    """The table for a README."""
    lines = [headers(summary), ["---"] + ["---:"] * 6, *rows(summary)]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{body}\n\n{caption(summary)}\n"


def _markdown(directory: Path, target: float | None) -> str:
    """The table of whatever study the records in `directory` are of."""
    command = (read_manifest(directory) or {}).get("command")
    if command == "compare":
        return compare_report.as_markdown(load_comparison(directory))
    if command == "pretrain-sweep":
        return sweep_report.as_markdown(load_sweep(directory))
    return as_markdown(load_summary(directory, target))


def main() -> int:
    try:
        directory, target = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else None
    except (IndexError, ValueError):
        print("usage: python -m sop_bench.studies.report DIRECTORY [TARGET]", file=sys.stderr)
        return 2
    try:
        print(_markdown(directory, target))
    except SopBenchError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

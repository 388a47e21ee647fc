"""The tables of a sweep over pretraining data, for a terminal and for a README."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table

from sop_bench.studies.compare_report import told
from sop_bench.studies.paper import PRETRAINING
from sop_bench.studies.stats import Interval
from sop_bench.studies.sweep_summary import ScaleResult, Scope, Sweep


def as_rich(summary: Sweep) -> RenderableType:
    """The tables for a terminal of 80 columns: results, then differences between neighbouring scales."""
    table = Table(
        title="Success by pretraining data, before and after the same SOP run",
        caption=caption(summary),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    for header in (
        "demon-\nstrations",
        "before",
        f"after\n{_minutes(summary)}",
        "gain",
        "operator-\nminutes",
    ):
        table.add_column(header, justify="right", min_width=14 if header == "gain" else None)
    for scope in summary.scopes:
        table.add_row(f"[b]{scope.name}[/]")
        for scale in scope.scales:
            paper = PRETRAINING.get(scale.name) if scope is summary.whole else None
            table.add_row(
                scale.name,
                str(summary.demonstrations[scale.name]),
                _stacked(scale.before, f"paper {paper.before:g}" if paper else ""),
                _stacked(scale.after, f"paper {paper.after:g}" if paper else ""),
                _stacked(scale.gain, f"paper {paper.after - paper.before:.3g}" if paper else ""),
                f"{summary.operator_minutes[scale.name]:.1f}",
                end_section=scale is scope.scales[-1],
            )
    return Group(table, *(f"  {line}" for line in differences(summary)))


def _stacked(interval: Interval, note: str) -> str:
    lines = [f"[b]{interval.mean:.3f}[/]", f"[dim]{interval.low:.3f}..{interval.high:.3f}[/]"]
    return "\n".join([*lines, f"[dim]{note}[/]"] if note else lines)


def differences(summary: Sweep) -> list[str]:
    """What neighbouring scales differ by, before and after, in words."""
    return [line for scope in summary.scopes for line in _differences(scope)]


def _differences(scope: Scope) -> list[str]:
    told_before = [f"{scope.name} before: {told(contrast)}" for contrast in scope.before]
    return [*told_before, *(f"{scope.name} after: {told(contrast)}" for contrast in scope.after)]


def as_markdown(summary: Sweep) -> str:
    """The tables for a README."""
    header = [
        "family or task",
        "pretraining data",
        "demonstrations (robot-min)",
        "success before",
        f"success after {_minutes(summary)}",
        "gain",
        "operator-min",
        "paper: before / after",
    ]
    lines = [header, ["---", "---", *["---:"] * (len(header) - 2)]]
    lines += [_row(summary, scope, scale) for scope in summary.scopes for scale in scope.scales]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    told_differences = "\n".join(f"- {line}" for line in differences(summary))
    return f"{body}\n\n{told_differences}\n\n{caption(summary)}\n"


def _row(summary: Sweep, scope: Scope, scale: ScaleResult) -> list[str]:
    paper = PRETRAINING.get(scale.name) if scope is summary.whole else None
    return [
        scope.name,
        scale.name,
        f"{summary.demonstrations[scale.name]} ({summary.robot_minutes[scale.name]:.2g})",
        f"{scale.before:.3f}",
        f"{scale.after:.3f}",
        f"{scale.gain:+.3f}",
        f"{summary.operator_minutes[scale.name]:.1f}",
        f"{paper.before:g} / {paper.after:g}" if paper else "",
    ]


def caption(summary: Sweep) -> str:
    """What the numbers rest on."""
    seeds = len(summary.seeds)
    variance = "no variance between seeds" if seeds == 1 else "bootstrap over seeds and scenes"
    return (
        f"{summary.robots} robots, {seeds} seed{'s' * (seeds > 1)}, {summary.scenes_per_task} unseen scenes "
        f"a task. Nested subsets of the same demonstrations, one encoder for all. Brackets: 95 % intervals "
        f"({variance}); p: McNemar over pairs of seed and scene. The paper's numbers: grocery restocking."
    )


def _minutes(summary: Sweep) -> str:
    return f"{summary.duration_s / 60:.0f} min"

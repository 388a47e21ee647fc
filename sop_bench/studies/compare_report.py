"""The tables of a comparison, for a terminal and for a README."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table

from sop_bench.studies.compare_summary import ARMS, CONTROL_ARM, PRETRAINED, ROUNDS, SOP, Comparison, Contrast
from sop_bench.studies.paper import COMPARISON
from sop_bench.studies.stats import Interval

NAMES = {
    PRETRAINED: "pretrained",
    CONTROL_ARM: "control (no online data)",
    ROUNDS: "HG-DAgger in rounds",
    SOP: "SOP + HG-DAgger",
}
_TOLD = ((CONTROL_ARM, SOP), (ROUNDS, SOP), (CONTROL_ARM, ROUNDS))


def as_rich(summary: Comparison) -> RenderableType:
    """The tables for a terminal of 80 columns: results, then differences."""
    table = Table(
        title="Success and throughput by method",
        caption=caption(summary),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    for header in (
        f"success\nat {_minutes(summary)}",
        "terminated\nper hour",
        "successes\nper hour",
        "operator-\nminutes",
        "gradient\nsteps",
    ):
        table.add_column(header, justify="right")
    for scope in summary.scopes:
        table.add_row(f"[b]{scope.name}[/]")
        for arm in ARMS:
            result = scope.arms[arm]
            budget = summary.budgets.get(arm) if scope is summary.whole else None
            paper = COMPARISON.get(scope.name, {}).get(arm)
            throughput = f"paper {paper.terminated_per_hour:g}" if paper and paper.terminated_per_hour else ""
            table.add_row(
                NAMES[arm],
                _stacked(result.success, 3, f"paper {paper.success:g}" if paper else ""),
                _stacked(result.terminated_per_hour, 0, throughput),
                _stacked(result.successes_per_hour, 0),
                f"{budget.operator_minutes:.1f}" if budget else "",
                f"{budget.gradient_steps:.0f}" if budget else "",
                end_section=arm == ARMS[-1],
            )
    return Group(table, *(f"  {line}" for line in differences(summary)))


def _stacked(interval: Interval, digits: int, note: str = "") -> str:
    low, high = f"{interval.low:.{digits}f}", f"{interval.high:.{digits}f}"
    lines = [f"[b]{interval.mean:.{digits}f}[/]", f"[dim]{low}..{high}[/]"]
    return "\n".join([*lines, f"[dim]{note}[/]"] if note else lines)


def differences(summary: Comparison) -> list[str]:
    """What the arms differ by, in words."""
    return [
        f"{scope.name}: {told(contrast)}"
        for scope in summary.scopes
        for pair in _TOLD
        for contrast in scope.contrasts
        if (contrast.first, contrast.second) == pair
    ]


def told(contrast: Contrast) -> str:
    """E.g. ``sop - rounds +0.050 [-0.010, 0.110], 21 against 6 scenes, p = 0.006``."""
    test = contrast.test
    return (
        f"{contrast.second} - {contrast.first} {contrast.difference:+.3f}, solved alone "
        f"{test.only_second} against {test.only_first}, p = {test.p_value:.2g}"
    )


def as_markdown(summary: Comparison) -> str:
    """The tables for a README."""
    header = [
        "family or task",
        "method",
        f"success at {_minutes(summary)}",
        "terminated/h",
        "successes/h",
        "successes/h with resets",
        "operator-min",
        "gradient steps",
        "paper: success, terminated/h",
    ]
    lines = [header, ["---", "---", *["---:"] * (len(header) - 2)]]
    for scope in summary.scopes:
        for arm in ARMS:
            result = scope.arms[arm]
            budget = summary.budgets.get(arm) if scope is summary.whole else None
            paper = COMPARISON.get(scope.name, {}).get(arm)
            lines.append(
                [
                    scope.name,
                    NAMES[arm],
                    f"{result.success:.3f}",
                    f"{result.terminated_per_hour:.0f}",
                    f"{result.successes_per_hour:.0f}",
                    f"{result.successes_per_hour_with_resets:.0f}",
                    f"{budget.operator_minutes:.1f}" if budget else "",
                    f"{budget.gradient_steps:.0f}" if budget else "",
                    f"{paper.success:g}, {paper.terminated_per_hour or '-'}" if paper else "",
                ]
            )
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    told_differences = "\n".join(f"- {line}" for line in differences(summary))
    return f"{body}\n\n{told_differences}\n\n{caption(summary)}\n"


def caption(summary: Comparison) -> str:
    """What the numbers rest on."""
    seeds = len(summary.seeds)
    variance = "no variance between seeds" if seeds == 1 else "bootstrap over seeds and scenes"
    return (
        f"{summary.robots} robots, {summary.robots * summary.duration_s / 3600:.2g} robot-hours in every "
        f"fleet, {seeds} seed{'s' * (seeds > 1)}, {summary.scenes_per_task} unseen scenes a task. Brackets: "
        f"95 % intervals ({variance}); p: McNemar over pairs of seed and scene. Throughput without resets."
    )


def _minutes(summary: Comparison) -> str:
    return f"{summary.duration_s / 60:.0f} min"

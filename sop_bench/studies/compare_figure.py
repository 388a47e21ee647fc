"""The figure of a comparison, drawn from its summary alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, MultipleLocator

from sop_bench.studies.compare_summary import ARMS, CONTROL_ARM, PRETRAINED, ROUNDS, SOP, Comparison, Scope
from sop_bench.studies.fleet_study import families
from sop_bench.studies.paper import COMPARISON
from sop_bench.studies.plotting import (
    GREY,
    INK,
    RULE,
    draw_curve,
    error_bar,
    label_ends,
    new_figure,
    save_figure,
)

_COLOURS = {PRETRAINED: "#c4c4c4", CONTROL_ARM: GREY, ROUNDS: "#E69F00", SOP: "#0072B2"}
_NAMES = {
    PRETRAINED: "pretrained",
    CONTROL_ARM: "control: no\nonline data",
    ROUNDS: "HG-DAgger\nin rounds",
    SOP: "SOP +\nHG-DAgger",
}
_BAR = 0.8 / len(ARMS)  # width of a bar, families being 1 apart


def draw_comparison(summary: Comparison, stem: Path) -> tuple[Path, Path]:
    """Draw ``stem.png`` and ``stem.pdf``: the curve against robot-hours, then success and throughput bars."""
    by_family = families(summary.whole.tasks)
    shown = [scope for scope in summary.scopes if scope.name in by_family]
    with new_figure(7.2 + 1.2 * (len(shown) - 1), 3.1) as figure:
        width = 0.9 + 0.35 * (len(shown) - 1)
        curves, success, throughput = figure.subplots(1, 3, width_ratios=(1.65, width, width))
        _draw_curves(curves, summary)
        _draw_success(success, shown)
        _draw_throughput(throughput, shown)
        return save_figure(figure, stem)


def _draw_curves(axes: Axes, summary: Comparison) -> None:
    robot_hours = summary.robots * np.array(summary.times_s) / 3600
    curves = summary.whole.curves
    for arm in (CONTROL_ARM, ROUNDS, SOP):
        # Between two deployments, a fleet in rounds acts with what the last one brought.
        draw_curve(
            axes,
            robot_hours,
            curves[arm],
            _COLOURS[arm],
            dashed=arm == CONTROL_ARM,
            steps=arm == ROUNDS,
        )
    lowest = min(point.low for curve in curves.values() for point in curve)
    axes.set(
        xlim=(0, robot_hours[-1]),
        ylim=(max(0.0, np.floor(lowest * 10 - 0.2) / 10), 1.0),
        xlabel="robot-hours",
        ylabel="success on unseen instances",
        title="Success against robot time",
    )
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MultipleLocator(0.1))
    _grid(axes)
    ends = [(_NAMES[arm], curve[-1].mean, _COLOURS[arm]) for arm, curve in curves.items()]
    label_ends(axes, float(robot_hours[-1]), ends, gap=0.13)


def _draw_success(axes: Axes, shown: list[Scope]) -> None:
    for place, scope in enumerate(shown):
        for arm, x in _places(place):
            success = scope.arms[arm].success
            axes.bar(x, success.mean, 0.9 * _BAR, color=_COLOURS[arm], zorder=2)
            error_bar(axes, x, success, INK)
            paper = COMPARISON.get(scope.name, {}).get(arm)
            if paper is not None:
                _diamond(axes, x, paper.success)
    axes.set(ylim=(0, 1.0), title="Success at the end")
    axes.yaxis.set_major_locator(MultipleLocator(0.2))
    _name_families(axes, shown)
    axes.legend(
        handles=[
            Patch(color=_COLOURS[PRETRAINED]),
            Line2D([], [], linestyle="", marker="D", markersize=4, color=INK, markerfacecolor="white"),
        ],
        labels=["pretrained", "SOP paper"],
        loc="upper left",
        bbox_to_anchor=(0, -0.1),  # below: bars may be as high as the axes
        ncols=2,
        frameon=False,
        fontsize=7,
        handlelength=1.2,
        columnspacing=0.8,
        borderaxespad=0.2,
        handletextpad=0.4,
    )


def _draw_throughput(axes: Axes, shown: list[Scope]) -> None:
    for place, scope in enumerate(shown):
        for arm, x in _places(place):
            result = scope.arms[arm]
            axes.bar(
                x,
                result.terminated_per_hour.mean,
                0.9 * _BAR,
                facecolor="none",
                edgecolor=_COLOURS[arm],
                linewidth=1.0,
                zorder=2,
            )
            axes.bar(x, result.successes_per_hour.mean, 0.9 * _BAR, color=_COLOURS[arm], zorder=2)
            error_bar(axes, x, result.successes_per_hour, INK)
    axes.set(ylabel="episodes per hour, without resets", title="Throughput")
    axes.set_ylim(0, 1.18 * axes.get_ylim()[1])  # room for the legend
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    _name_families(axes, shown)
    axes.legend(
        handles=[Patch(facecolor="none", edgecolor=INK), Patch(color=INK)],
        labels=["terminated", "successful"],
        loc="upper left",
        ncols=1,
        frameon=False,
        fontsize=7,
        handlelength=1.2,
        borderaxespad=0.2,
        labelspacing=0.2,
    )


def _places(family: int) -> list[tuple[str, float]]:
    """Arms with the middle of their bar."""
    return [(arm, family + (i - (len(ARMS) - 1) / 2) * _BAR) for i, arm in enumerate(ARMS)]


def _name_families(axes: Axes, shown: list[Scope]) -> None:
    axes.set_xticks(range(len(shown)), [scope.name for scope in shown])
    axes.tick_params(axis="x", length=0)
    _grid(axes)


def _diamond(axes: Axes, x: float, y: float) -> None:
    axes.plot(x, y, "D", color=INK, markersize=4, markerfacecolor="white", zorder=5)


def _grid(axes: Axes) -> None:
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)

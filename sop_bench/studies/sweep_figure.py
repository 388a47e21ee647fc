"""The figure of a sweep over pretraining data, drawn from its summary alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, MultipleLocator

from sop_bench.studies.paper import PRETRAINING
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
from sop_bench.studies.stats import Interval
from sop_bench.studies.sweep_summary import Sweep

_COLOURS = ("#E69F00", "#009E73", "#0072B2", "#CC79A7", "#D55E00")  # smallest scale first
_AFTER = "#0072B2"


def draw_sweep(summary: Sweep, stem: Path) -> tuple[Path, Path]:
    """Draw ``stem.png`` and ``stem.pdf``: a curve for each scale, and before and after against scale."""
    with new_figure(7.2, 3.1) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.45, 1))
        _draw_curves(left, summary)
        _draw_before_and_after(right, summary)
        return save_figure(figure, stem)


def _draw_curves(axes: Axes, summary: Sweep) -> None:
    times_min = np.array(summary.times_s) / 60
    scales = summary.whole.scales
    ends = []
    for scale, colour in zip(scales, _cycled(len(scales)), strict=True):
        draw_curve(axes, times_min, scale.curve, colour)
        number = summary.demonstrations[scale.name]
        ends.append((f"{scale.name}: {number}\ndemonstration{'s' * (number > 1)}", scale.after.mean, colour))
    lowest = min(point.low for scale in scales for point in scale.curve)
    axes.set(
        xlim=(0, times_min[-1]),
        ylim=(max(0.0, np.floor(lowest * 10 - 0.2) / 10), 1.0),
        xlabel="post-training wall-clock (virtual minutes)",
        ylabel="success on unseen instances",
        title=f"SOP with {summary.robots} robots",
    )
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    _grid(axes)
    label_ends(axes, float(times_min[-1]), ends, gap=0.13)


def _draw_before_and_after(axes: Axes, summary: Sweep) -> None:
    scales = summary.whole.scales
    places = np.arange(len(scales))
    # Beside each other, so that intervals which overlap can be told apart.
    _series(axes, places - 0.03, [scale.before for scale in scales], GREY, "pretrained")
    _series(axes, places + 0.03, [scale.after for scale in scales], _AFTER, "after SOP")
    known = [(x, paper) for x, s in zip(places, scales, strict=True) if (paper := PRETRAINING.get(s.name))]
    for name in ("before", "after"):
        axes.plot(
            [x for x, _ in known],
            [getattr(paper, name) for _, paper in known],
            color=INK,
            linewidth=0.8,
            linestyle=(0, (1, 2)),
            marker="D",
            markersize=4.5,
            markerfacecolor="white",
            zorder=2,
            label="SOP paper" if known and name == "before" else None,
        )
    axes.set_xticks(places, [scale.name for scale in scales])
    axes.set(
        xlim=(-0.3, len(scales) - 0.7),
        ylim=(0, 1.0),
        xlabel="share of demonstrations",
        title="Before and after",
    )
    _grid(axes)
    axes.legend(loc="lower right", frameon=False, fontsize=7.5, handlelength=2.0, borderaxespad=0.2)


def _series(axes: Axes, places: np.ndarray, points: list[Interval], colour: str, name: str) -> None:
    axes.plot(
        places, [p.mean for p in points], color=colour, linewidth=1.6, marker="o", markersize=4, label=name
    )
    for x, point in zip(places, points, strict=True):
        error_bar(axes, float(x), point, colour)


def _cycled(count: int) -> list[str]:
    return [_COLOURS[i % len(_COLOURS)] for i in range(count)]


def _grid(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MultipleLocator(0.2))
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)

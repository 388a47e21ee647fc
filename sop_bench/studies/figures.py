"""The scaling figure, drawn from records alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, MultipleLocator

from sop_bench.studies.paper import SCALING, TARGET
from sop_bench.studies.plotting import GREY, INK, RULE, draw_curve, label_ends, new_figure, save_figure
from sop_bench.studies.records import CONTROL
from sop_bench.studies.summary import Summary

# Okabe and Ito's palette, told apart by every kind of colour vision; blues for larger fleets.
_COLOURS = {1: "#E69F00", 2: "#009E73", 4: "#0072B2", 8: "#CC79A7", 16: "#D55E00"}
_SPARE = ("#56B4E9", "#000000")


def draw_scaling(summary: Summary, stem: Path) -> tuple[Path, Path]:
    """Draw ``stem.png`` and ``stem.pdf``: success against wall-clock, and speed-up against fleet size."""
    with new_figure(7.2, 3.1) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.65, 1))
        _draw_curves(left, summary)
        _draw_speedup(right, summary)
        return save_figure(figure, stem)


def _colour(robots: int) -> str:
    return _COLOURS.get(robots, _SPARE[robots % len(_SPARE)])


def _fleet_name(robots: int) -> str:
    return "1 robot" if robots == 1 else f"{robots} robots"


# --------------------------------------------------------------------------------------- success curves


def _draw_curves(axes: Axes, summary: Summary) -> None:
    minutes = np.array(summary.times_s) / 60
    axes.axhline(summary.target, color=INK, linewidth=0.7, linestyle=(0, (1, 2)), zorder=1)
    axes.annotate(
        f"target {summary.target:.2g}",
        (minutes[-1], summary.target),
        xytext=(-2, 2),
        textcoords="offset points",
        ha="right",
        fontsize=7.5,
        color=INK,
    )
    draw_curve(axes, minutes, summary.curves[CONTROL], GREY, dashed=True)
    for cell in summary.cells:
        draw_curve(axes, minutes, summary.curves[cell.robots], _colour(cell.robots))
        reached = cell.time_to_target_s
        if reached.censored == 0 and reached.interval.mean > 0:
            axes.plot(
                reached.interval.mean / 60,
                summary.target,
                "o",
                color=_colour(cell.robots),
                markersize=5,
                markeredgecolor="white",
                zorder=5,
            )
    lowest = min(point.low for curve in summary.curves.values() for point in curve)
    axes.set(
        xlim=(0, minutes[-1]),
        ylim=(max(0.0, np.floor(lowest * 10 - 0.2) / 10), 1.0),
        xlabel="post-training wall-clock (virtual minutes)",
        ylabel="success on unseen instances",
        title="Success against wall-clock",
    )
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MultipleLocator(0.1))
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    ends = [
        (_fleet_name(cell.robots), summary.curves[cell.robots][-1].mean, _colour(cell.robots))
        for cell in summary.cells
    ]
    ends.append(("control: no\nonline data", summary.curves[CONTROL][-1].mean, GREY))
    label_ends(axes, float(minutes[-1]), ends)


# --------------------------------------------------------------------------------------------- speed-up


def _paper_name(target: float) -> str:
    return "SOP paper, real robots" if target == TARGET else f"SOP paper (to {TARGET:g})"


def _draw_speedup(axes: Axes, summary: Summary) -> None:
    known = [cell for cell in summary.cells if np.isfinite(cell.speedup.mean)]
    fleets = [cell.robots for cell in known]
    gains = [cell.speedup for cell in known]
    baseline, largest = min(fleets), max(cell.robots for cell in summary.cells)
    ideal = np.array([baseline, largest])
    axes.plot(ideal, ideal / baseline, color=GREY, linewidth=1.0, linestyle=(0, (4, 2)), label="ideal")
    shown = {n: row for n, row in SCALING.items() if baseline == 1}
    axes.plot(
        list(shown),
        [row.speedup for row in shown.values()],
        color=INK,
        linewidth=0.8,
        marker="D",
        markersize=4.5,
        markerfacecolor="white",
        label=_paper_name(summary.target) if shown else None,
        zorder=2,
    )
    means = [gain.mean for gain in gains]
    axes.plot(fleets, means, color=INK, linewidth=1.4, marker="o", label="this study", zorder=3)
    for n, gain in zip(fleets, gains, strict=True):
        axes.errorbar(
            n,
            gain.mean,
            yerr=[[gain.mean - gain.low], [gain.high - gain.mean]],
            fmt="o",
            color=_colour(n),
            markersize=6,
            markeredgecolor="white",
            elinewidth=1.4,
            capsize=2.5,
            zorder=4,
        )
    top = max([*(gain.high for gain in gains), float(ideal[-1]) / baseline])
    margin = 0.08 * (largest - baseline) or 0.5
    axes.set_xticks([cell.robots for cell in summary.cells])
    axes.set(
        xlim=(baseline - margin, largest + margin),
        ylim=(0, top * 1.06),
        xlabel="robots",
        ylabel=f"speed-up in reaching {summary.target:.2g} (\N{MULTIPLICATION SIGN})",
        title="Speed-up",
    )
    # Where speed-ups rise to, there is room on the left; low ones ran through a legend at the bottom.
    axes.legend(loc="upper left", frameon=False, fontsize=7.5, handlelength=2.2, borderaxespad=0.2)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)

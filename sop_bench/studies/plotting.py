"""What all figures share: style, curves with bands, and names beside the ends of curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

from sop_bench.studies.stats import Interval

GREY = "#767676"
INK = "#222222"
RULE = "#e6e6e6"
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "pdf.fonttype": 42,  # text stays text, as publishers ask
    "savefig.dpi": 200,
}


@contextmanager
def new_figure(width_inch: float, height_inch: float) -> Iterator[Figure]:
    """An empty figure, to be drawn and saved inside."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width_inch, height_inch), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def save_figure(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write ``stem.png`` and ``stem.pdf``."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    png, pdf = stem.with_suffix(".png"), stem.with_suffix(".pdf")
    figure.savefig(png)
    # No date in the file: the same records give the same bytes.
    figure.savefig(pdf, metadata={"CreationDate": None})
    return png, pdf


def error_bar(axes: Axes, x: float, interval: Interval, colour: str) -> None:
    """The interval as a thin line with caps."""
    axes.errorbar(
        x,
        interval.mean,
        yerr=[[interval.mean - interval.low], [interval.high - interval.mean]],
        fmt="none",
        ecolor=colour,
        elinewidth=1.2,
        capsize=2.5,
        zorder=4,
    )


def draw_curve(
    axes: Axes,
    x: np.ndarray,
    points: Sequence[Interval],
    colour: str,
    *,
    dashed: bool = False,
    steps: bool = False,
) -> None:
    """Means at `x` with the band of their intervals; as `steps`, each holds until the next."""
    axes.fill_between(
        x,
        [p.low for p in points],
        [p.high for p in points],
        color=colour,
        alpha=0.10 if dashed else 0.14,
        linewidth=0,
        step="post" if steps else None,
        zorder=2,
    )
    axes.plot(
        x,
        [p.mean for p in points],
        color=colour,
        linestyle=(0, (4, 2)) if dashed else "-",
        drawstyle="steps-post" if steps else "default",
        linewidth=1.4 if dashed else 1.8,
        marker="" if dashed else "o",
        markersize=2.4,
        zorder=3,
    )


def label_ends(axes: Axes, x: float, ends: Sequence[tuple[str, float, str]], *, gap: float = 0.075) -> None:
    """Names (text, height, colour) beside the ends of their curves, pushed apart so that none overlap.

    `gap` is the least distance between two, as a share of the height of the axes.
    """
    bottom, top = axes.get_ylim()
    ends = sorted(ends, key=lambda end: end[1])
    heights = spread([height for _, height, _ in ends], gap=gap * (top - bottom))
    for (text, _, colour), height in zip(ends, heights, strict=True):
        axes.annotate(
            text,
            (x, height),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=colour,
            annotation_clip=False,
            linespacing=1.0,
        )


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Rising `values` moved as little as possible so that neighbours are at least `gap` apart."""
    offsets = gap * np.arange(len(values))
    return list(isotonic_regression(np.asarray(values) - offsets).x + offsets)

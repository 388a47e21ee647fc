"""What a study looks like while it runs: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sop_bench.studies.records import CONTROL

_LINE_EVERY_S = 15.0
_REFRESH_HZ = 4


@dataclass(frozen=True, order=True)
class CellKey:
    """One cell of a study: a training seed, a fleet size (0 for the control), and which arm of the study.

    Studies of fleet sizes have no other arms, and leave it empty.
    """

    seed: int
    robots: int
    arm: str = ""

    def __str__(self) -> str:
        if self.arm:
            return self.arm
        return "control" if self.robots == CONTROL else f"{self.robots} robot{'s' * (self.robots > 1)}"

    @property
    def name(self) -> str | int:
        """What records tell it from the other cells of its seed by: its arm, or its fleet size."""
        return self.arm or self.robots

    @property
    def folder(self) -> str:
        # An arm may be called 1/8, which is no name of a folder.
        return f"{self.arm.replace('/', '-') or f'robots-{self.robots}'}-seed-{self.seed}"


@dataclass(frozen=True)
class CellState:
    """How far a cell has come.

    Attributes:
        virtual_s: The fleet's clock.
        episodes, helped: Online episodes finished, and how many of them had a takeover.
        learner_step: Gradient steps taken.
        success: The latest evaluation, if there was one, and the time it belongs to.
        finished: Its records are complete.
    """

    virtual_s: float = 0.0
    episodes: int = 0
    helped: int = 0
    learner_step: int = 0
    success: float | None = None
    success_s: float = 0.0
    finished: bool = False


class StudyDisplay:
    """Shows the cells of a study until it is left; `update` may be called from any thread.

    Args:
        cells: In the order they are to be shown.
        duration_s: Virtual seconds of every cell.
        console: A terminal gets a live table, anything else plain lines.
        header: Of the column that names the cells.
    """

    def __init__(self, cells: Iterable[CellKey], duration_s: float, console: Console, header: str = "fleet"):
        self._header = header
        self._states: dict[CellKey, CellState] = {key: CellState() for key in cells}
        self._duration_s, self._console = duration_s, console
        self._began_s = time.monotonic()
        self._done_before: float | None = None
        self._left = threading.Event()
        self._live: Live | None = None
        self._lines: threading.Thread | None = None

    def update(self, key: CellKey, state: CellState) -> None:
        self._states[key] = state

    def __enter__(self) -> Self:
        # What was done in an earlier run took no time in this one, so it is no part of the estimate.
        self._began_s, self._done_before = time.monotonic(), self.fraction
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self.render, console=self._console, refresh_per_second=_REFRESH_HZ
            )
            self._live.start()
        else:
            self._lines = threading.Thread(target=self._print_lines, daemon=True)
            self._lines.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        if self._live:
            self._live.stop()
        if self._lines:
            self._lines.join()
            self._console.print(self.line(), highlight=False, markup=False, soft_wrap=True)

    # ---------------------------------------------------------------------------------------- estimates

    @property
    def fraction(self) -> float:
        """Share of the study's work that is done, cells weighted by what they cost."""
        # A cell costs its learner and evaluations, whatever the fleet, and its robots on top.
        weights = {key: 4.0 + key.robots for key in self._states}
        done = sum(weights[key] * self._share(state) for key, state in self._states.items())
        return done / sum(weights.values())

    def _share(self, state: CellState) -> float:
        """Share of a cell's work: half its fleet, half its evaluations, which are computed behind it."""
        if state.finished:
            return 1.0
        return min((state.virtual_s + state.success_s) / (2 * self._duration_s), 0.999)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    @property
    def remaining_s(self) -> float | None:
        """Estimated wall seconds to the end; ``None`` while there is too little to go by."""
        done = self.fraction - (self._done_before or 0.0)
        if done < 0.01:
            return None
        return self.elapsed_s * (1 - self.fraction) / done

    def _clock(self) -> str:
        left = self.remaining_s
        remaining = "estimating" if left is None else f"about {clock(left)} left"
        return f"{clock(self.elapsed_s)} elapsed, {remaining}"

    # ------------------------------------------------------------------------------------------- drawing

    def render(self) -> RenderableType:
        """The live table."""
        seeds = len({key.seed for key in self._states})
        table = Table(pad_edge=False, box=None, header_style="bold")
        table.add_column(self._header)
        if seeds > 1:
            table.add_column("seed", justify="right")
        table.add_column("virtual min", justify="right")
        table.add_column("", width=16)
        for header in ("episodes", "helped", "step", "success"):
            table.add_column(header, justify="right")
        for key, state in self._states.items():
            seed = [str(key.seed)] if seeds > 1 else []
            table.add_row(str(key), *seed, *self._cells(key, state))
        summary = Text(f"{self.fraction:4.0%}  {self._clock()}", style="dim")
        return Group(table, Text(), summary)

    def _cells(self, key: CellKey, state: CellState) -> list[RenderableType]:
        share = self._share(state)
        helped = f"{state.helped / state.episodes:.0%}" if state.episodes else "-"
        success = (
            "-" if state.success is None else f"[b]{state.success:.2f}[/] at {state.success_s / 60:.0f} min"
        )
        return [
            f"{state.virtual_s / 60:.1f} / {self._duration_s / 60:.0f}",
            "[green]done[/]" if state.finished else ProgressBar(total=1, completed=share, width=16),
            "-" if key.robots == CONTROL else str(state.episodes),
            helped,
            str(state.learner_step),
            success,
        ]

    def line(self) -> str:
        """The same in one line, for logs."""
        parts = []
        for key, state in self._states.items():
            success = "" if state.success is None else f" success {state.success:.2f}"
            parts.append(f"{key} (seed {key.seed}) {self._share(state):.0%}{success}")
        return f"[{self.fraction:.0%}, {self._clock()}] " + "; ".join(parts)

    def _print_lines(self) -> None:
        while not self._left.wait(_LINE_EVERY_S):
            self._console.print(self.line(), highlight=False, markup=False, soft_wrap=True)

    @property
    def states(self) -> Mapping[CellKey, CellState]:
        return dict(self._states)


def clock(seconds: float) -> str:
    """Minutes and seconds, hours when there are any: ``4:05``, ``1:02:03``."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"

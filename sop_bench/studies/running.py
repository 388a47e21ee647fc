"""How a study runs: cells at once on one engine, in a folder that can be resumed, and then its records.

Each cell keeps its own journal under ``work/``, so a study that was stopped goes on where it was, and
finished cells are not run again. What a kind of study adds is its settings (a `Study`), what its cells are
(a `CellRunner`), and how its records are read (a `Reading`)::

    claim(study, directory, fresh)
    summary = run_on_workers(study, directory, runner_on, reading, workers=2, console=console)
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from rich.console import Console

from sop_bench.errors import ConfigurationError
from sop_bench.fleet.engine import Engine, make_engine
from sop_bench.studies import records
from sop_bench.studies.live import CellKey, CellState, StudyDisplay
from sop_bench.studies.manifest import (
    finish_manifest,
    plain,
    read_manifest,
    sha256,
    start_manifest,
    write_json,
)

WORK = "work"

CellRunner = Callable[[CellKey, Path, Callable[[CellState], None]], None]
"""Runs one cell in a folder, telling how far it is; returns once its records stand in the folder."""


class Study(Protocol):
    """What running needs to know of a study, which is a frozen dataclass."""

    command: ClassVar[str]
    """What it is run by, and called in its manifest."""

    free: ClassVar[frozenset[str]]
    """Settings that may differ from what a folder holds: they only add cells or read them."""

    by: ClassVar[str]
    """The column of records that tells its cells apart."""

    header: ClassVar[str]
    """The same on the screen."""

    @property
    def checkpoint(self) -> Path: ...

    @property
    def duration_s(self) -> float: ...

    @property
    def cells(self) -> list[CellKey]: ...

    @property
    def order(self) -> list[CellKey]: ...

    def needs(self, key: CellKey) -> CellKey | None: ...


class AnySummary(Protocol):
    """The numbers that a reader quotes."""

    def as_dict(self) -> dict[str, Any]: ...


S = TypeVar("S", bound=AnySummary)


@dataclass(frozen=True)
class Reading(Generic[S]):
    """What is read from the records of a kind of study, without its cells.

    Attributes:
        load: The summary of the records in a folder, computed from them and their manifest.
        draw: Draws a summary into files of this stem.
        figure: What these files are called.
    """

    load: Callable[[Path], S]
    draw: Callable[[S, Path], object]
    figure: str


def claim(study: Study, directory: Path, fresh: bool) -> None:
    """Check that what stands in `directory` is this study, perhaps with fewer cells.

    Raises:
        ConfigurationError: It is another study, and `fresh` does not allow to delete it.
    """
    work = directory / WORK
    earlier = read_manifest(directory) if work.exists() and not fresh else None
    if earlier is not None and (differing := _differing(study, earlier)):
        raise ConfigurationError(
            f"{directory} holds a study with another {', '.join(differing)}. Repeat its settings to resume "
            f"it, give another --output, or delete it with --fresh."
        )
    work_folder(directory, fresh)


def work_folder(directory: Path, fresh: bool) -> Path:
    """The folder in `directory` for what is large and can be made again; emptied first if `fresh`."""
    work = directory / WORK
    if fresh and work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    (work / ".gitignore").write_text("*\n")
    return work


def _differing(study: Study, earlier: dict[str, Any]) -> list[str]:
    """Settings that decide the numbers of a cell and are not those of the `earlier` manifest."""
    mine, theirs = plain(study), earlier.get("config", {})
    names = [name for name in mine if name not in study.free and mine[name] != theirs.get(name)]
    known = earlier.get("files", {}).get("checkpoint", {}).get("sha256")
    return [*names, "checkpoint"] if known != sha256(study.checkpoint) else names


@contextmanager
def recorded(command: str, study: Study, directory: Path) -> Iterator[None]:
    """A manifest in `directory` of what runs inside; it never says that it ended if that fails."""
    manifest = start_manifest(directory, command, study, {"checkpoint": study.checkpoint})
    yield
    finish_manifest(directory, manifest)


def run_on_workers(
    study: Study,
    directory: Path,
    runner_on: Callable[[Engine], CellRunner],
    reading: Reading[S],
    *,
    workers: int,
    console: Console,
) -> S:
    """`run_study` with what `runner_on` makes of an engine of `workers` local processes."""
    with make_engine(workers) as engine:
        return run_study(
            study,
            directory,
            runner_on(engine),
            reading,
            console=console,
            concurrent_cells=max(4, 2 * workers),
            stop=engine.close,
        )


def run_study(
    study: Study,
    directory: Path,
    run_cell: CellRunner,
    reading: Reading[S],
    *,
    console: Console,
    concurrent_cells: int = 4,
    stop: Callable[[], None] = lambda: None,
) -> S:
    """Run every cell of `study`, then write records, summary and figure into `directory`, already claimed.

    Args:
        concurrent_cells: Cells that run at once; more of them fill more cores and need more memory.
        stop: Called when a cell fails or the user interrupts, to end the others soon.
    """
    with recorded(study.command, study, directory):
        with StudyDisplay(study.cells, study.duration_s, console, header=study.header) as display:
            run_cells(study, directory, run_cell, display, concurrent_cells=concurrent_cells, stop=stop)
        cells = [(key.name, key.seed, directory / WORK / key.folder) for key in study.cells]
        records.gather(cells, directory, by=study.by)
        summary = reading.load(directory)
        write_json(directory / "summary.json", summary.as_dict())
        reading.draw(summary, directory / reading.figure)
    return summary


def run_cells(
    study: Study,
    directory: Path,
    run_cell: CellRunner,
    display: StudyDisplay,
    *,
    concurrent_cells: int,
    stop: Callable[[], None],
) -> None:
    """Run every cell of `study` in its folder under ``directory/work``; arguments as for `run_study`."""
    states = dict.fromkeys(study.order, CellState())
    futures: dict[CellKey, Future[None]] = {}

    def run(key: CellKey) -> None:
        def tell(state: CellState) -> None:
            states[key] = state
            display.update(key, state)

        if (needed := study.needs(key)) is not None:
            futures[needed].result()
        run_cell(key, directory / WORK / key.folder, tell)
        tell(replace(states[key], virtual_s=study.duration_s, finished=True))

    with ThreadPoolExecutor(max(1, concurrent_cells), thread_name_prefix="cell") as pool:
        try:
            for key in study.order:
                futures[key] = pool.submit(run, key)
            done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop()
            raise

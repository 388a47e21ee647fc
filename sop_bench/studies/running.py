"""What all studies share while they run: cells at once on one engine, in a folder that can be resumed.

Each cell keeps its own journal under ``work/``, so a study that was stopped goes on where it was, and
finished cells are not run again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from sop_bench.errors import ConfigurationError
from sop_bench.studies.live import CellKey, CellState, StudyDisplay
from sop_bench.studies.manifest import plain, read_manifest, sha256

WORK = "work"

CellRunner = Callable[[CellKey, Path, Callable[[CellState], None]], None]
"""Runs one cell in a folder, telling how far it is; returns once its records stand in the folder."""


class Study(Protocol):
    """What running needs to know of a study, which is a frozen dataclass."""

    free: ClassVar[frozenset[str]]
    """Settings that may differ from what a folder holds: they only add cells or read them."""

    @property
    def checkpoint(self) -> Path: ...

    @property
    def duration_s(self) -> float: ...


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


def run_cells(
    study: Study,
    order: Sequence[CellKey],
    directory: Path,
    run_cell: CellRunner,
    display: StudyDisplay,
    *,
    concurrent_cells: int,
    stop: Callable[[], None],
    after: Callable[[CellKey], CellKey | None] = lambda key: None,
) -> None:
    """Run cells in the folders under ``directory/work``, started in `order`.

    Args:
        concurrent_cells: Cells that run at once; more of them fill more cores and need more memory.
        stop: Called when a cell fails or the user interrupts, to end the others soon.
        after: The cell that must have finished before this one begins, if any; it comes earlier in `order`.
    """
    states = dict.fromkeys(order, CellState())
    futures: dict[CellKey, Future[None]] = {}

    def run(key: CellKey) -> None:
        def tell(state: CellState) -> None:
            states[key] = state
            display.update(key, state)

        if (needed := after(key)) is not None:
            futures[needed].result()
        run_cell(key, directory / WORK / key.folder, tell)
        tell(replace(states[key], virtual_s=study.duration_s, finished=True))

    with ThreadPoolExecutor(max(1, concurrent_cells), thread_name_prefix="cell") as pool:
        try:
            for key in order:
                futures[key] = pool.submit(run, key)
            done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop()
            raise

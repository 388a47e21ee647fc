"""`sop-bench scale`: the same post-training wall-clock for every fleet size, and what that gives.

Cells (a seed and a fleet size each, and a control for each seed) run at once on one engine. Each keeps its
own journal under ``work/``, so a study that was stopped goes on where it was, and finished cells are not run
again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from sop_bench.errors import ConfigurationError
from sop_bench.studies import records
from sop_bench.studies.figures import draw_scaling
from sop_bench.studies.live import CellKey, CellState, StudyDisplay
from sop_bench.studies.manifest import (
    finish_manifest,
    plain,
    read_manifest,
    sha256,
    start_manifest,
    write_json,
)
from sop_bench.studies.profiles import ScaleStudy
from sop_bench.studies.summary import Summary, summarise

WORK = "work"

CellRunner = Callable[[CellKey, Path, Callable[[CellState], None]], None]
"""Runs one cell in a folder, telling how far it is; returns once its records stand in the folder."""


def run_scale(
    study: ScaleStudy,
    directory: Path,
    run_cell: CellRunner,
    *,
    console: Console,
    concurrent_cells: int = 4,
    fresh: bool = False,
    stop: Callable[[], None] = lambda: None,
) -> Summary:
    """Run every cell of `study`, then write records, summary and figure into `directory`.

    Args:
        concurrent_cells: Cells that run at once; more of them fill more cores and need more memory.
        fresh: Delete what an earlier run left in `directory` instead of resuming it.
        stop: Called when a cell fails or the user interrupts, to end the others soon.

    Raises:
        ConfigurationError: `directory` holds a study with other settings.
    """
    claim(study, directory, fresh)
    manifest = start_manifest(directory, "scale", study, {"checkpoint": study.checkpoint})
    with StudyDisplay(study.cells, study.duration_s, console) as display:
        _run_cells(study, directory, run_cell, display, concurrent_cells, stop)
    summary = write_records(study, directory)
    finish_manifest(directory, manifest)
    return summary


def write_records(study: ScaleStudy, directory: Path) -> Summary:
    """Merge the finished cells of `study` under ``directory/work`` into records, summary and figure."""
    cells = [(key.robots, key.seed, directory / WORK / key.folder) for key in study.cells]
    found = records.gather(cells, directory)
    summary = summarise(found, target=study.target, profile=study.profile)
    write_json(directory / "summary.json", summary.as_dict())
    draw_scaling(summary, directory / "scaling")
    return summary


def claim(study: ScaleStudy, directory: Path, fresh: bool) -> None:
    """Check that what stands in `directory` is this study, perhaps with fewer fleets or seeds.

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


def _differing(study: ScaleStudy, earlier: dict[str, Any]) -> list[str]:
    """Settings that decide the numbers of a cell and are not those of the `earlier` manifest."""
    # More fleets or seeds only add cells, a target only reads them, and files may have moved.
    free = {"robots", "seeds", "target", "checkpoint", "demos"}
    mine, theirs = plain(study), earlier.get("config", {})
    names = [name for name in mine if name not in free and mine[name] != theirs.get(name)]
    known = earlier.get("files", {}).get("checkpoint", {}).get("sha256")
    return [*names, "checkpoint"] if known != sha256(study.checkpoint) else names


def _run_cells(
    study: ScaleStudy,
    directory: Path,
    run_cell: CellRunner,
    display: StudyDisplay,
    concurrent_cells: int,
    stop: Callable[[], None],
) -> None:
    states = dict.fromkeys(study.cells, CellState())

    def run(key: CellKey) -> None:
        def tell(state: CellState) -> None:
            states[key] = state
            display.update(key, state)

        run_cell(key, directory / WORK / key.folder, tell)
        tell(replace(states[key], virtual_s=study.duration_s, finished=True))

    # The largest fleets take longest: started first, they do not leave cores idle at the end.
    order = sorted(study.cells, key=lambda key: (key.seed, -key.robots))
    with ThreadPoolExecutor(max(1, concurrent_cells), thread_name_prefix="cell") as pool:
        futures: list[Future[None]] = [pool.submit(run, key) for key in order]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop()
            raise

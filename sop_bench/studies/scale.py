"""`sop-bench scale`: the same post-training wall-clock for every fleet size, and what that gives.

Cells (a seed and a fleet size each, and a control for each seed) run as `sop_bench.studies.running` says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from sop_bench.studies import records
from sop_bench.studies.figures import draw_scaling
from sop_bench.studies.live import StudyDisplay
from sop_bench.studies.manifest import finish_manifest, start_manifest, write_json
from sop_bench.studies.profiles import ScaleStudy
from sop_bench.studies.running import WORK, CellRunner, claim, run_cells
from sop_bench.studies.summary import Summary, summarise


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
        # The largest fleets take longest: started first, they do not leave cores idle at the end.
        order = sorted(study.cells, key=lambda key: (key.seed, -key.robots))
        run_cells(study, order, directory, run_cell, display, concurrent_cells=concurrent_cells, stop=stop)
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

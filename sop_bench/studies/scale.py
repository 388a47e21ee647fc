"""`sop-bench scale`: the same post-training wall-clock for every fleet size, and what that gives.

Cells (a seed and a fleet size each, and a control for each seed) run as `sop_bench.studies.running` says.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from sop_bench.errors import CorruptDataError
from sop_bench.studies import records
from sop_bench.studies.cells import detectable, plain_cells
from sop_bench.studies.figures import draw_scaling
from sop_bench.studies.manifest import read_manifest
from sop_bench.studies.profiles import ScaleStudy
from sop_bench.studies.running import Reading, claim, run_on_workers
from sop_bench.studies.summary import Summary, summarise


def scale(study: ScaleStudy, directory: Path, *, workers: int, fresh: bool, console: Console) -> Summary:
    """Run `study` on `workers` processes, resuming what `directory` holds unless `fresh`.

    Raises:
        ConfigurationError: `directory` holds another study.
    """
    console.print(
        f"{len(study.cells)} cells of {study.duration_s / 60:.0f} virtual minutes. "
        + detectable(study.trials, study.target, "a fleet"),
        highlight=False,
    )
    claim(study, directory, fresh)  # refuse before anything is computed
    return run_on_workers(
        study,
        directory,
        lambda engine: plain_cells(study, engine, console),
        SCALING,
        workers=workers,
        console=console,
    )


def load_summary(directory: Path, target: float | None = None) -> Summary:
    """The summary of the records in `directory`, computed anew from them and their manifest.

    Args:
        target: Success rate to time; by default the study's own.

    Raises:
        ConfigurationError: `directory` holds no records.
        CorruptDataError: The records or their manifest are damaged.
    """
    found = records.load(directory)
    manifest = read_manifest(directory) or {}
    try:
        config = manifest["config"]
        timed = float(config["target"]) if target is None else target
        return summarise(found, target=timed, profile=str(config["profile"]))
    except (KeyError, TypeError) as error:
        raise CorruptDataError(
            f"{directory}/manifest.json does not say what was run ({error!r} is missing). Restore it, or run "
            f"the study again."
        ) from error


SCALING = Reading(load_summary, draw_scaling, "scaling")

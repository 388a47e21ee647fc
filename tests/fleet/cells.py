"""A small cell for tests, and how to compare two of them.

Run as a script, it runs one cell of a world that is already on disk: what a test kills.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sop_bench.fleet.cell import CellConfig, EvaluationPlan
from sop_bench.fleet.latency import LatencyProfile, LogNormal
from sop_bench.fleet.processes import ProcessEngine
from sop_bench.fleet.virtual import CellResult, run_cell
from sop_bench.learner.optimiser import LearnerConfig

TABLES = ("episodes", "evaluations", "learner", "versions")
SHORT = LatencyProfile(upload=LogNormal(5, 15), publish=LogNormal(4, 8))


def small_cell(checkpoint: Path, demos: Path, **changes: Any) -> CellConfig:
    """Two robots for 100 virtual seconds; about a second of computing."""
    from fakes import OPERATOR, TASKS

    settings: dict[str, Any] = {
        "adapter": "reach",
        "tasks": TASKS,
        "checkpoint": checkpoint,
        "demos": demos,
        "robots": 2,
        "duration_s": 100.0,
        "reset_s": 5.0,
        "latency": SHORT,
        "supervisor": OPERATOR,
        "evaluation": EvaluationPlan((0.0, 50.0, 100.0), tuple(range(4)), chunk=2),
        "learner": LearnerConfig(batch_size=32, learning_rate=1e-3),
        "save_every": 2,
    }
    return CellConfig(**{**settings, **changes})


def assert_same_records(first: CellResult, second: CellResult) -> None:
    """Equal in everything but what the machine's clock decides."""
    for name in TABLES:
        left, right = (without_wall(getattr(result, name)) for result in (first, second))
        pd.testing.assert_frame_equal(left, right, check_exact=True, obj=name)


def without_wall(table: pd.DataFrame) -> pd.DataFrame:
    kept = table.loc[:, [name for name in table.columns if "wall" not in name]]
    lists = [name for name in kept.columns if len(kept) and isinstance(kept[name].iloc[0], list | np.ndarray)]
    # As text, because a list with NaN differs from its copy.
    return kept.assign(**{name: [str(list(map(float, row))) for row in kept[name]] for name in lists})


def read_records(directory: Path) -> CellResult:
    """The tables in a cell's folder."""
    return CellResult(directory, **{name: pd.read_parquet(directory / f"{name}.parquet") for name in TABLES})


if __name__ == "__main__":
    checkpoint, demos, directory = (Path(argument) for argument in sys.argv[1:4])
    with ProcessEngine(2) as engine:
        run_cell(small_cell(checkpoint, demos), engine, directory)

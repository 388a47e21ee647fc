"""Records of a scaling study that never ran, with curves like the paper's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

TIMES_S = np.linspace(0, 1200, 13)
SPEED = {0: 0.25, 1: 1.0, 2: 1.6, 4: 2.7}
CEILING = {0: 0.64, 1: 0.95, 2: 0.96, 4: 0.97}
START = 0.55


def write_cell(folder: Path, robots: int, seed: int, scenes: int = 100) -> Path:
    """One cell as a fleet run leaves it: success rises faster with more robots."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([robots, seed])
    difficulty = np.random.default_rng(99).random(scenes)  # the same scenes in every cell
    rise = 1 - np.exp(-TIMES_S / 1200 * 2.2 * SPEED[robots] * (0.9 + 0.1 * seed))
    rates = START + (CEILING[robots] - START) * rise
    evaluations = pd.DataFrame(
        {
            "time_s": np.repeat(TIMES_S, scenes),
            "policy_version": np.repeat(np.arange(len(TIMES_S)), scenes),
            "scene": np.tile(np.arange(scenes), len(TIMES_S)),
            "success": (
                difficulty[None] + rng.normal(0, 0.08, (len(TIMES_S), scenes)) * (TIMES_S > 0)[:, None]
                < rates[:, None]
            ).ravel(),
        }
    )
    evaluations.to_parquet(folder / "evaluations.parquet", index=False)
    started_s = np.arange(0, 1180, 15.0) if robots else np.empty(0)
    episodes = pd.DataFrame(
        {
            "robot": np.repeat(np.arange(robots), len(started_s)),
            "started_s": np.tile(started_s, robots),
            "duration_s": 9.0,
            "operator_s": 2.0,
            "success": True,
        }
    )
    episodes.to_parquet(folder / "episodes.parquet", index=False)
    pd.DataFrame({"step": np.arange(2000), "loss": 1.0}).to_parquet(folder / "learner.parquet", index=False)
    return folder


def write_cells(
    directory: Path, seeds: int = 3, fleets: tuple[int, ...] = (0, 1, 2, 4), scenes: int = 100
) -> list[tuple[int, int, Path]]:
    """All cells of a study: (robots, seed, folder) each."""
    return [
        (robots, seed, write_cell(directory / f"robots-{robots}-seed-{seed}", robots, seed, scenes))
        for seed in range(seeds)
        for robots in fleets
    ]

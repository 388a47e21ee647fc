"""`sop-bench pretrain-sweep`: how much pretraining data a policy needs, before and after the same SOP run.

The encoder is that of the checkpoint in every arm: what is swept is the demonstrations that the action head
is cloned from, with the same gradient steps for all. Fractions are nested: of each task, an arm has the first
demonstrations of the arm above it. They are also the arm's offline data in post-training, so that no arm sees
a demonstration it was not pretrained on; fleet, duration and seeds are the same for all. A seed is that of
cloning and of post-training; which demonstrations a fraction holds never varies, and no interval covers it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from rich.console import Console

from sop_bench.errors import ConfigurationError, CorruptDataError
from sop_bench.fleet.cell import CellConfig
from sop_bench.fleet.engine import Engine
from sop_bench.studies import records
from sop_bench.studies.cells import cell_config, cell_runner, demonstrations, detectable
from sop_bench.studies.cloning import CloningConfig
from sop_bench.studies.demos import demonstration_files
from sop_bench.studies.fleet_study import OneFleetStudy, minutes, settings
from sop_bench.studies.live import CellKey
from sop_bench.studies.manifest import configuration
from sop_bench.studies.paper import TARGET
from sop_bench.studies.running import WORK, CellRunner, Reading, claim, run_on_workers
from sop_bench.studies.sweep_figure import draw_sweep
from sop_bench.studies.sweep_pretraining import (
    clone_job,
    cloning_of,
    nested_subsets,
    own_folder,
    write_pretraining,
)
from sop_bench.studies.sweep_summary import FULL, Sweep, scale_of, summarise

PRETRAINING = "pretraining.csv"

PROFILES: dict[str, dict[str, Any]] = {
    # For CI: every part runs, no number means anything.
    "smoke": {"robots": 2, "evaluation_times_s": minutes(0, 1, 2), "evaluation_episodes": 8},
    # The default: minutes on two cores.
    "desk": {"robots": 4, "evaluation_times_s": minutes(0, 5, 10, 20, 30), "evaluation_episodes": 100},
    # The paper's wall-clock and trial count; its final numbers are those of its fleet of four.
    "paper": {
        "robots": 4,
        "evaluation_times_s": minutes(0, 4, 10, 20, 30, 45, 60, 90, 120, 150, 180),
        "evaluation_episodes": 200,
    },
}


@dataclass(frozen=True, kw_only=True)
class SweepStudy(OneFleetStudy):
    """What `sop-bench pretrain-sweep` runs; its `checkpoint` gives the encoder, and names the full data.

    Attributes:
        fractions: Of the demonstrations, such as ``1/8``; ``full`` for all.
        cloning: Of the action head; as the checkpoint was made if ``None``.
    """

    fractions: tuple[str, ...] = ("1/8", "1/2", FULL)
    cloning: CloningConfig | None = None

    # Other demonstrations would leave policies behind that were cloned from the earlier ones.
    free: ClassVar[frozenset[str]] = frozenset({"seeds", "fractions", "checkpoint"})

    command: ClassVar[str] = "pretrain-sweep"
    header: ClassVar[str] = "pretraining"

    @property
    def cells(self) -> list[CellKey]:
        """Every fraction, smallest first, seed by seed."""
        fractions = sorted(self.fractions, key=scale_of)
        return [CellKey(seed, self.robots, arm) for seed, arm in product(self.seeds, fractions)]

    def check(self) -> None:
        super().check()
        scales = [scale_of(name) for name in self.fractions]
        if not scales or len(set(scales)) < len(scales) or min(scales) <= 0 or max(scales) > 1:
            raise ConfigurationError(
                f"Fractions {list(self.fractions)} make no sweep; allowed: different ones above 0 and "
                f"up to 1, such as 1/8,1/2,full."
            )


def sweep_study(
    profile: str, *, checkpoint: Path | None = None, seeds: tuple[int, ...] | None = None, **overrides: Any
) -> SweepStudy:
    """The study of a profile, any field overridden.

    Raises:
        ConfigurationError: Unknown names, no checkpoint, or values that make no study.
    """
    study = SweepStudy(**settings(PROFILES, profile, seeds, checkpoint, **overrides))
    study.check()
    return study


def pretrain_sweep(
    study: SweepStudy, directory: Path, *, workers: int, fresh: bool, console: Console
) -> Sweep:
    """Run `study` on `workers` processes, resuming what `directory` holds unless `fresh`.

    Raises:
        ConfigurationError: `directory` holds another study.
    """
    claim(study, directory, fresh)  # refuse before anything is computed
    console.print(
        f"{len(study.cells)} cells: cloning from {', '.join(study.fractions)} of the demonstrations, then "
        f"{study.duration_s / 60:.0f} virtual minutes of SOP with {study.robots} robots. "
        + detectable(study.trials, TARGET, "an arm"),
        highlight=False,
    )
    return run_on_workers(
        study,
        directory,
        lambda engine: _runner(study, directory, engine, console),
        SWEEP,
        workers=workers,
        console=console,
    )


def _runner(study: SweepStudy, directory: Path, engine: Engine, console: Console) -> CellRunner:
    files = demonstration_files(demonstrations(study, engine, console))
    subsets = nested_subsets(files, study.tasks, study.fractions)
    write_pretraining(subsets, directory / PRETRAINING)
    cloning = study.cloning or cloning_of(study.checkpoint)
    folders = {
        arm: own_folder(files, directory / WORK / f"demonstrations-{arm.replace('/', '-')}")
        for arm, files in subsets.items()
    }

    def config_of(key: CellKey) -> CellConfig:
        demos = folders[key.arm]
        policy = directory.resolve() / WORK / "pretrained" / f"{key.folder}.safetensors"
        policy.parent.mkdir(parents=True, exist_ok=True)
        files = tuple(demonstration_files(demos))
        checkpoint = engine.submit(
            clone_job, study.checkpoint.resolve(), files, cloning, key.seed, key.arm, policy
        ).result()
        return replace(cell_config(study, key, demos), checkpoint=checkpoint)

    return cell_runner(engine, config_of)


def load_sweep(directory: Path) -> Sweep:
    """The summary of the records in `directory`, computed anew from them and their manifest.

    Raises:
        ConfigurationError: `directory` holds no records.
        CorruptDataError: The records or their manifest are damaged.
    """
    found = records.load(directory, by="arm")
    config = configuration(directory, "tasks", "robots")
    path = directory / PRETRAINING
    if not path.exists():
        raise CorruptDataError(f"{path} is missing. Restore it, or run the study again.")
    return summarise(found, pd.read_csv(path), tasks=tuple(config["tasks"]), robots=int(config["robots"]))


SWEEP = Reading(load_sweep, draw_sweep, "pretraining")

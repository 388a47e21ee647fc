"""`sop-bench pretrain-sweep`: how much pretraining data a policy needs, before and after the same SOP run.

The encoder is that of the checkpoint in every arm: what is swept is the demonstrations that the action head
is cloned from, with the same gradient steps for all. Fractions are nested: of each task, an arm has the first
demonstrations of the arm above it. They are also the arm's offline data in post-training, so that no arm sees
a demonstration it was not pretrained on; fleet, duration and seeds are the same for all. A seed is that of
cloning and of post-training; which demonstrations a fraction holds never varies, and no interval covers it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
from rich.console import Console

from sop_bench.episode import load_episode, load_header
from sop_bench.errors import ConfigurationError, CorruptDataError
from sop_bench.fleet.engine import Engine, RememberingEngine, make_engine
from sop_bench.fleet.jobs import evaluate_job
from sop_bench.fleet.virtual import run_cell
from sop_bench.policy.checkpoint import load_checkpoint, save_checkpoint
from sop_bench.policy.optimisation import OptimiserConfig
from sop_bench.studies import records
from sop_bench.studies.cells import cell_config, demonstrations, effect, telling
from sop_bench.studies.cloning import CloningConfig, behaviour_cloning
from sop_bench.studies.demos import demonstration_files
from sop_bench.studies.fleet_study import OneFleetStudy, minutes, settings
from sop_bench.studies.live import CellKey, CellState, StudyDisplay
from sop_bench.studies.manifest import configuration, finish_manifest, start_manifest, write_json
from sop_bench.studies.paper import TARGET
from sop_bench.studies.pretrain import with_encoder_of
from sop_bench.studies.running import WORK, CellRunner, claim, run_cells
from sop_bench.studies.sweep_figure import draw_sweep
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
        f"{study.duration_s / 60:.0f} virtual minutes of SOP with {study.robots} robots. With {study.trials} "
        f"evaluation episodes an arm, success must rise by {effect(study.trials, TARGET)} above {TARGET:g} "
        f"to be seen (power 0.8, seeds taken as alike).",
        highlight=False,
    )
    with make_engine(workers) as engine:
        full = demonstrations(study, engine, console)
        subsets = nested_subsets(demonstration_files(full), study.tasks, study.fractions)
        write_pretraining(subsets, directory / PRETRAINING)
        return run_sweep(
            study,
            directory,
            _runner(study, directory, subsets, engine),
            console=console,
            concurrent_cells=max(4, 2 * workers),
            stop=engine.close,
        )


def run_sweep(
    study: SweepStudy,
    directory: Path,
    run_cell: CellRunner,
    *,
    console: Console,
    concurrent_cells: int = 4,
    stop: Callable[[], None] = lambda: None,
) -> Sweep:
    """Run every cell of `study`, then write records, summary and figure into `directory`, already claimed."""
    manifest = start_manifest(directory, "pretrain-sweep", study, {"checkpoint": study.checkpoint})
    with StudyDisplay(study.cells, study.duration_s, console, header="pretraining") as display:
        run_cells(
            study, study.cells, directory, run_cell, display, concurrent_cells=concurrent_cells, stop=stop
        )
    cells = [(key.arm, key.seed, directory / WORK / key.folder) for key in study.cells]
    records.gather(cells, directory, by="arm")
    finish_manifest(directory, manifest)
    summary = load_sweep(directory)
    write_json(directory / "summary.json", summary.as_dict())
    draw_sweep(summary, directory / "pretraining")
    return summary


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


# ---------------------------------------------------------------------------------------------- pretraining


def nested_subsets(
    files: Sequence[Path], tasks: Sequence[str], fractions: Sequence[str]
) -> dict[str, list[Path]]:
    """Of each task the first demonstrations, as many as the fraction says and at least one, by fraction.

    Raises:
        ConfigurationError: A task has no demonstration.
    """
    by_task: dict[str, list[Path]] = {task: [] for task in tasks}
    for file in sorted(files):
        task = load_header(file).task
        if task in by_task:
            by_task[task].append(file)
    if lacking := [task for task, mine in by_task.items() if not mine]:
        raise ConfigurationError(
            f"No demonstration of {', '.join(lacking)} among {len(files)} files; allowed: some of each task. "
            f"Make them with `sop-bench demos`, and give their folder with --demos."
        )
    return {
        name: sorted(
            file for mine in by_task.values() for file in mine[: max(1, round(scale_of(name) * len(mine)))]
        )
        for name in fractions
    }


def write_pretraining(subsets: Mapping[str, Sequence[Path]], path: Path) -> None:
    """What each arm was pretrained on, as a table: arm, demonstrations, robot_minutes (without resets)."""
    duration_s = {file: load_episode(file).duration_s for files in subsets.values() for file in files}
    rows = [
        {
            "arm": name,
            "demonstrations": len(files),
            "robot_minutes": sum(duration_s[file] for file in files) / 60,
        }
        for name, files in subsets.items()
    ]
    pd.DataFrame(rows).to_csv(path, index=False, float_format="%.6g")


def clone_job(
    checkpoint: Path, files: tuple[Path, ...], cloning: CloningConfig, seed: int, fraction: str, output: Path
) -> Path:
    """Clone `files` into a new head on the encoder of `checkpoint`, and write the policy to `output`.

    What is there already is not made again.
    """
    if output.exists():
        return output
    generator = torch.Generator().manual_seed(seed)
    policy, facts = with_encoder_of(checkpoint, generator)
    loss = behaviour_cloning(policy, files, cloning, generator).loss
    # The demonstrations that the checkpoint names are not this policy's.
    kept = {name: value for name, value in facts.items() if name not in ("demonstrations", "cloning")}
    made = {"fraction": fraction, "demonstrations": len(files), "seed": seed, "final_loss": loss}
    save_checkpoint(policy, output, facts={**kept, "pretrain_sweep": made})
    return output


def cloning_of(checkpoint: Path) -> CloningConfig:
    """How the head of `checkpoint` was cloned, as far as it says."""
    facts = load_checkpoint(checkpoint).facts.get("cloning")
    if not isinstance(facts, Mapping):
        return CloningConfig()
    optimiser = dict(facts["optimiser"])
    optimiser["betas"] = tuple(optimiser["betas"])
    return CloningConfig(int(facts["steps"]), int(facts["batch_size"]), OptimiserConfig(**optimiser))


def _runner(
    study: SweepStudy, directory: Path, subsets: Mapping[str, Sequence[Path]], engine: Engine
) -> CellRunner:
    evaluates_once = RememberingEngine(engine, evaluate_job)
    cloning = study.cloning or cloning_of(study.checkpoint)
    folders = {
        arm: _own_folder(files, directory / WORK / f"demonstrations-{arm.replace('/', '-')}")
        for arm, files in subsets.items()
    }

    def run(key: CellKey, folder: Path, tell: Callable[[CellState], None]) -> None:
        demos = folders[key.arm]
        policy = directory.resolve() / WORK / "pretrained" / f"{key.folder}.safetensors"
        policy.parent.mkdir(parents=True, exist_ok=True)
        files = tuple(demonstration_files(demos))
        checkpoint = engine.submit(
            clone_job, study.checkpoint.resolve(), files, cloning, key.seed, key.arm, policy
        ).result()
        config = replace(cell_config(study, key, demos), checkpoint=checkpoint)
        run_cell(config, evaluates_once, folder, telling(tell))

    return run


def _own_folder(files: Sequence[Path], folder: Path) -> Path:
    """Copies of `files` in a folder that holds nothing else: a fleet takes its offline data by folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # The collections of a mixture, a folder each, number their files alike.
    names = {f"demo-{file.parent.name}-{file.name.removeprefix('demo-')}": file for file in files}
    for stray in {path.name for path in folder.iterdir()} - names.keys():
        (folder / stray).unlink()
    for name, file in names.items():
        if not (folder / name).exists():
            part = folder / f".{name}.part"
            shutil.copyfile(file, part)
            part.replace(folder / name)
    return folder.resolve()

"""What the arms of a pretraining sweep are pretrained on, and how: nested demonstrations, one encoder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch

from sop_bench.episode import load_episode, load_header
from sop_bench.errors import ConfigurationError
from sop_bench.policy.checkpoint import load_checkpoint, save_checkpoint
from sop_bench.policy.optimisation import OptimiserConfig
from sop_bench.studies.cloning import CloningConfig, behaviour_cloning
from sop_bench.studies.pretrain import with_encoder_of
from sop_bench.studies.sweep_summary import scale_of


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


def own_folder(files: Sequence[Path], folder: Path) -> Path:
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

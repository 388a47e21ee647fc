"""Pretraining: scenes, then the encoder, then demonstrations, then behaviour cloning, into one checkpoint."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from sop_bench.fleet.engine import Engine
from sop_bench.policy.base import PolicyVersion
from sop_bench.policy.checkpoint import load_checkpoint, save_checkpoint
from sop_bench.policy.network import NetworkConfig
from sop_bench.policy.vla import CompactVLA
from sop_bench.studies.cloning import CloningConfig, behaviour_cloning
from sop_bench.studies.demos import DemonstrationProgress, collect_demonstrations, demonstration_files
from sop_bench.studies.encoder import pretrain_encoder
from sop_bench.studies.mixture import MixtureConfig, collect_mixture
from sop_bench.studies.phases import PhaseProgress, say_nothing
from sop_bench.studies.recipe import PretrainConfig

__all__ = ["CloningConfig", "PretrainConfig", "pretrain"]


def pretrain(
    config: PretrainConfig,
    workspace: Path,
    checkpoint: Path,
    engine: Engine,
    on_progress: PhaseProgress = say_nothing,
    *,
    encoder: Path | None = None,
) -> PolicyVersion:
    """Pretrain a policy and write it to `checkpoint`; the same configuration gives the same policy.

    Scenes, the encoder and demonstrations are kept in `workspace`: a run that was interrupted goes on with
    what is complete, and one that differs in the demonstrations alone takes a minute.
    All training is on one thread, so the bits of the weights depend on the processor and on nothing else.

    Args:
        on_progress: Told the phase (scenes, encoder, demonstrations, cloning), what is done, what is to be
            done, and where something is trained the loss of the step.
        encoder: A checkpoint whose encoder is taken over instead of training one, so that only the
            demonstrations and the cloning are new: minutes become seconds.

    Raises:
        ConfigurationError: Unknown names, or a robot that cannot pose scenes.
    """
    if encoder is None:
        encoder = pretrain_encoder(config, workspace, engine, on_progress)
    generator = torch.Generator().manual_seed(config.seed)
    policy, facts = with_encoder_of(encoder, generator, config.network)
    files, kept = _demonstrations(config, workspace / "demonstrations", engine, on_progress)
    cloned = behaviour_cloning(
        policy,
        files,
        config.cloning,
        generator,
        lambda step, loss: on_progress("cloning", step, config.cloning.steps, loss),
    )
    facts["demonstrations"] = {**asdict(config.demonstrations), "kept": kept}
    facts["cloning"] = {**asdict(config.cloning), "final_loss": cloned.loss}
    if len(cloned.task_loss) > 1:
        facts["cloning"]["final_task_loss"] = dict(cloned.task_loss)
    return save_checkpoint(policy, checkpoint, facts=facts, storage=config.storage)


def with_encoder_of(
    path: Path, generator: torch.Generator, network: NetworkConfig | None = None
) -> tuple[CompactVLA, dict[str, Any]]:
    """A policy with the encoder of `path` and an untrained head, and the facts of that encoder.

    Args:
        network: Shapes the head; by default it is as in `path`.
    """
    earlier = load_checkpoint(path)
    config = earlier.policy.config
    if network is not None:
        config = replace(config, network=config.network.with_head_of(network))
    policy = CompactVLA(config, earlier.policy.tokenizer, generator)
    policy.encoder.load_state_dict(earlier.policy.encoder.state_dict())
    return policy, {**earlier.facts, "encoder_of": earlier.policy.version.content_hash}


def _demonstrations(
    config: PretrainConfig, folder: Path, engine: Engine, on_progress: PhaseProgress
) -> tuple[list[Path], int | dict[str, int]]:
    """The files to clone, and how many there are, of each task if there are several."""
    wanted_s = round(config.demonstrations.robot_hours * 3600)

    def report(progress: DemonstrationProgress) -> None:
        on_progress("demonstrations", round(progress.robot_hours * 3600), wanted_s)

    if isinstance(config.demonstrations, MixtureConfig):
        files = collect_mixture(config.demonstrations, folder, engine, report)
        return [file for each in files.values() for file in each], {t: len(f) for t, f in files.items()}
    collected = collect_demonstrations(config.demonstrations, folder, engine, report)
    # Not more than asked for: an earlier run may have left others behind.
    return demonstration_files(folder)[: collected.kept], collected.kept

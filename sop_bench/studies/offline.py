"""The offline data of post-training: the very demonstrations that the policy was pretrained on.

A checkpoint says how its demonstrations were made, and they are a function of that: so a small checkpoint is
all that needs shipping, and the first study on a machine makes them again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from sop_bench.errors import ConfigurationError
from sop_bench.fleet.engine import Engine
from sop_bench.studies.demos import (
    DemonstrationConfig,
    DemonstrationProgress,
    collect_demonstrations,
    demonstration_files,
)
from sop_bench.studies.mixture import MixtureConfig, collect_mixture
from sop_bench.supervision.demonstrator import DemonstratorConfig


def demonstrations_of(checkpoint: Path) -> DemonstrationConfig | MixtureConfig:
    """How the demonstrations of `checkpoint` were made.

    Raises:
        ConfigurationError: It does not say.
    """
    from sop_bench.policy.checkpoint import load_checkpoint

    facts = load_checkpoint(checkpoint).facts.get("demonstrations")
    if not isinstance(facts, Mapping):
        raise ConfigurationError(
            f"{checkpoint} does not say which demonstrations it was pretrained on. Give their folder with "
            f"--demos."
        )
    return demonstration_config(facts)


def demonstration_config(facts: Mapping[str, Any]) -> DemonstrationConfig | MixtureConfig:
    """The configuration in a checkpoint's facts, which JSON has turned into plain lists and objects."""
    kind = MixtureConfig if "family_hours" in facts else DemonstrationConfig
    known = {field.name for field in fields(kind)}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in facts.items()
        if name in known
    }
    values["demonstrator"] = DemonstratorConfig(**facts["demonstrator"])
    return kind(**values)


def offline_demonstrations(
    checkpoint: Path,
    directory: Path | None,
    engine: Engine,
    on_progress: Callable[[float, DemonstrationProgress], None] = lambda robot_hours, progress: None,
) -> Path:
    """The folder of demonstrations to post-train `checkpoint` with, made now where they are missing.

    Args:
        directory: Demonstrations of the user's own; those of the checkpoint if ``None``.
        on_progress: Told the robot-hours wanted, and what there is.

    Raises:
        ConfigurationError: `directory` holds no demonstrations, or the checkpoint does not name its own.
    """
    if directory is not None:
        demonstration_files(directory)
        return directory
    config = demonstrations_of(checkpoint)
    folder = Path("runs") / "demonstrations" / checkpoint.stem

    def tell(done: DemonstrationProgress) -> None:
        on_progress(config.robot_hours, done)

    if isinstance(config, MixtureConfig):
        collect_mixture(config, folder, engine, tell)
    else:
        collect_demonstrations(config, folder, engine, tell)
    return folder

"""The tables that a cell leaves behind; each row's dataclass is the table's schema.

Times are seconds of the fleet's clock, NaN where something never happened. What depends on the machine has
``wall`` in its name; everything else is the same for any engine and any number of workers.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

_KINDS = {"int": "int64", "float": "float64", "bool": "bool", "str": "str"}


@dataclass(frozen=True)
class EpisodeRow:
    """One online episode that ended before the run did.

    Attributes:
        scene: Its seed.
        success: Reached the goal, perhaps with help; `autonomous_success` without.
        supervised: An operator was watching.
        duration_s: Without the reset before it.
        uploaded_s: When it had reached the learner.
        ingested_s: When the span began that could sample it.
        first_sampled_s: When the learner step began that first did.
        trainable_frames: Frames the algorithm trains on.
        takeovers, hazards: How often an operator took over, and why, separated by ``;``.
        pulled_s: When the robot took the weights it acted with.
        weights_age_s: From publication of these weights to the first frame; since the start for version 0.
        versions_behind: Versions published by the first frame that it did not have.
        problem: Why the learner could not use it; empty if it could.
    """

    episode_id: str
    robot: int
    station_seed: int
    task: str
    scene: int
    instruction: str
    policy_version: int
    policy_hash: str
    outcome: str
    reason: str
    success: bool
    autonomous_success: bool
    supervised: bool
    started_s: float
    ended_s: float
    duration_s: float
    steps: int
    uploaded_s: float
    ingested_s: float
    first_sampled_s: float
    trainable_frames: int
    takeovers: int
    hazards: str
    intervention_s: float
    operator_s: float
    pulled_s: float
    weights_age_s: float
    versions_behind: int
    problem: str
    compute_wall_s: float


@dataclass(frozen=True)
class EvaluationRow:
    """One evaluation episode, without help.

    Attributes:
        time_s: When the evaluated version was the newest published one.
        scene: Place in the evaluation, counted over tasks; `scene_seed` is its seed.
    """

    time_s: float
    policy_version: int
    policy_hash: str
    learner_step: int
    task: str
    scene: int
    scene_seed: int
    station_seed: int
    instruction: str
    success: bool
    outcome: str
    reason: str
    steps: int
    duration_s: float
    compute_wall_s: float


@dataclass(frozen=True)
class LearnerRow:
    """One task in one span of learner steps.

    Attributes:
        loss: Mean over the span and all tasks.
        omega_on: Online share at the span's last step.
        loss_on, loss_off: Window means that the share follows; NaN while empty.
        arrivals: Episodes ingested at the span's start, of all tasks.
    """

    span: int
    learner_step: int
    started_s: float
    ended_s: float
    task: str
    omega_on: float
    loss_on: float
    loss_off: float
    loss: float
    learning_rate: float
    arrivals: int
    ingest_wall_s: float
    train_wall_s: float


@dataclass(frozen=True)
class VersionRow:
    """One published version.

    Attributes:
        arrived_s: When each robot had it.
        acknowledged_s: When each robot first pulled it; NaN where a newer one was pulled instead.
    """

    version: int
    content_hash: str
    learner_step: int
    published_s: float
    arrived_s: tuple[float, ...]
    acknowledged_s: tuple[float, ...]


Row = EpisodeRow | EvaluationRow | LearnerRow | VersionRow


def frame(kind: type[Row], rows: Sequence[Row]) -> pd.DataFrame:
    """A table of `rows`, with its columns and their types also when there are none."""
    hints = typing.get_type_hints(kind)
    columns = {field.name: [] for field in fields(kind)}
    for row in rows:
        for name, value in asdict(row).items():
            columns[name].append(list(value) if isinstance(value, tuple) else value)
    return pd.DataFrame(
        {
            name: pd.Series(values, dtype=_KINDS.get(getattr(hints[name], "__name__", ""), "object"))
            for name, values in columns.items()
        }
    )


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table so that the file is whole or absent."""
    part = path.with_name(f".{path.name}.part")
    table.to_parquet(part, index=False, compression="zstd")
    part.replace(path)

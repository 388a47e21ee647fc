"""The records of a health run.

=====================  ======================================================================================
``episodes.parquet``    one row per episode: task, index, seed, split, station_seed, policy, steps, outcome,
                        reason, finite, warnings (JSON), wall_cpu_s, and for each quantity its largest value,
                        where it was (``..._where``) and when (``..._at_s``)
``tasks.csv``           one row per task and quantity: bound, episodes beyond it, median, worst and where
``summary.json``        the same with its reasons, warnings, outcomes, and how to see the worst again
``manifest.json``       what made them, and every sitting in which they were made
=====================  ======================================================================================
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sop_bench.health import Bound, Extreme
from sop_bench.robot import Split
from sop_bench.studies.manifest import finish_manifest, read_manifest, start_manifest, write_json
from sop_bench.studies.stats import wilson

HealthSummary = dict[str, Any]

FAULT = "robot fault"

SHARED_RULE = "episodes in proportion to the weights of the tasks, 1 unless said; equal numbers if none is"
_WORST_SHOWN = 3  # of each task and quantity
_SITTING = ("started_wall", "ended_wall", "git", "command_line", "machine", "packages")


@dataclass(frozen=True)
class Scene:
    """Which episode: everything that decides it."""

    task: str
    index: int
    seed: int
    split: Split
    station_seed: int
    policy: str


@dataclass(frozen=True)
class EpisodeHealth:
    """What one episode showed.

    Attributes:
        steps: Control steps taken; a fault ends an episode in the step after them.
        worst: By quantity, as in `sop_bench.health.Health`.
        wall_cpu_s: Processor time that it took.
    """

    scene: Scene
    steps: int
    outcome: str
    reason: str
    finite: bool
    warnings: Mapping[str, int]
    worst: Mapping[str, Extreme]
    wall_cpu_s: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EpisodeHealth:
        worst = {name: Extreme(**extreme) for name, extreme in data["worst"].items()}
        return cls(**{**data, "scene": Scene(**data["scene"]), "worst": worst})


def begin(directory: Path, config: Any, *, resumed: bool) -> dict[str, Any]:
    """Write the manifest of a sitting that is about to start; one that is `resumed` keeps those before it."""
    earlier = (read_manifest(directory) if resumed else None) or {}
    past = earlier.get("sittings", [])
    if earlier and earlier["ended_wall"] is None:  # killed: its episodes are kept, its end was not
        past = [*past, {**{name: earlier[name] for name in _SITTING}, "episodes_by_its_end": None}]
    manifest = {**start_manifest(directory, "health", config, {}), "sittings": past}
    write_json(directory / "manifest.json", manifest)
    return manifest


def write(
    directory: Path,
    manifest: Mapping[str, Any],
    episodes: Sequence[EpisodeHealth],
    shares: Mapping[str, int],
    bounds: Mapping[str, Bound],
    versions: Mapping[str, str],
) -> HealthSummary:
    """Write all records of `episodes`, and return the summary."""
    ordered = sorted(episodes, key=lambda episode: (episode.scene.task, episode.scene.index))
    by_task = {task: [one for one in ordered if one.scene.task == task] for task in shares}
    summary = {
        "complete": len(ordered) == sum(shares.values()),
        "episodes": len(ordered),
        "episodes_wanted": sum(shares.values()),
        "rule": SHARED_RULE,
        "bounds": {name: vars(bound) for name, bound in bounds.items()},
        "tasks": {
            task: {"version": versions[task], "episodes_wanted": shares[task], **_about(mine, bounds)}
            for task, mine in by_task.items()
        },
    }
    if ordered:
        _write(directory, ordered, summary)
    write_json(directory / "summary.json", summary)
    finish_manifest(directory, manifest)
    ended = read_manifest(directory) or {}
    sitting = {**{name: ended[name] for name in _SITTING}, "episodes_by_its_end": len(ordered)}
    write_json(directory / "manifest.json", {**ended, "sittings": [*manifest["sittings"], sitting]})
    return summary


def _write(directory: Path, episodes: Sequence[EpisodeHealth], summary: HealthSummary) -> None:
    rows = pd.DataFrame([_row(episode) for episode in episodes])
    part = directory / ".episodes.parquet.part"
    rows.to_parquet(part, index=False, compression="zstd")
    part.replace(directory / "episodes.parquet")
    lines = [
        {"task": task, "episodes": facts["episodes"], "quantity": name, **_line(quantity)}
        for task, facts in summary["tasks"].items()
        for name, quantity in facts["quantities"].items()
    ]
    part = directory / ".tasks.csv.part"
    pd.DataFrame(lines).to_csv(part, index=False, float_format="%.6g")
    part.replace(directory / "tasks.csv")


def _row(episode: EpisodeHealth) -> dict[str, Any]:
    row: dict[str, Any] = dict(vars(episode.scene))
    row |= {name: getattr(episode, name) for name in ("steps", "outcome", "reason", "finite", "wall_cpu_s")}
    row["warnings"] = json.dumps(episode.warnings, sort_keys=True)
    for name, extreme in episode.worst.items():
        row |= {name: extreme.value, f"{name}_where": extreme.where, f"{name}_at_s": extreme.at_s}
    return row


def _line(quantity: Mapping[str, Any]) -> dict[str, Any]:
    worst = quantity["worst"][0] if quantity["worst"] else {}
    kept = {name: quantity[name] for name in ("limit", "beyond", "median", "p99")}
    return {**kept, **{f"worst_{name}": worst.get(name) for name in ("value", "where", "seed", "policy")}}


def _about(episodes: Sequence[EpisodeHealth], bounds: Mapping[str, Bound]) -> dict[str, Any]:
    warned: Counter[str] = Counter()
    for episode in episodes:
        warned.update(episode.warnings)
    return {
        "episodes": len(episodes),
        "steps": sum(episode.steps for episode in episodes),
        "wall_cpu_s": round(sum(episode.wall_cpu_s for episode in episodes), 1),
        "reasons": dict(Counter(episode.reason for episode in episodes).most_common()),
        "warnings": dict(sorted(warned.items())),
        "warned": [_again(one) for one in episodes if one.warnings],
        "not_finite": [_again(one) for one in episodes if not one.finite],
        "faults": [_again(one) for one in episodes if one.reason == FAULT],
        "quantities": {name: _quantity(episodes, name, bound) for name, bound in bounds.items()},
    }


def _quantity(episodes: Sequence[EpisodeHealth], name: str, bound: Bound) -> dict[str, Any]:
    values = [episode.worst[name].value for episode in episodes]
    beyond = sum(value > bound.limit for value in values)
    worst = sorted(episodes, key=lambda episode: -episode.worst[name].value)[:_WORST_SHOWN]
    return {
        "limit": bound.limit,
        "beyond": beyond,
        "share_beyond": wilson(beyond, len(values)).as_dict(),
        "median": float(np.median(values)) if values else None,
        "p99": float(np.quantile(values, 0.99)) if values else None,
        "worst": [{**vars(one.worst[name]), **_again(one)} for one in worst if one.worst[name].where],
    }


def _again(episode: EpisodeHealth) -> dict[str, Any]:
    """Which episode, and how to see it."""
    which = episode.scene
    return {
        "seed": which.seed,
        "policy": which.policy,
        "watch": f"sop-bench watch {which.task} --policy {which.policy} --instance {which.seed} "
        f"--split {which.split} --station-seed {which.station_seed}",
    }

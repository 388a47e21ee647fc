"""The tidy records of a study: what figures and tables are drawn from, and nothing else.

======================  =====================================================================================
``evaluations.parquet``  one row per evaluation episode: robots, seed, time_s, policy_version, scene, success
``episodes.parquet``     one row per online episode: robots, seed, robot, started_s, duration_s, outcome, ...
``versions.parquet``     one row per published version
``learner.parquet``      thinned log of learner and sampler
``curve.csv``            one row per robots, seed and evaluation time: success with its Wilson interval
``summary.json``         the numbers a reader quotes
``manifest.json``        what made them
======================  =====================================================================================

``robots`` is the fleet size; 0 is the control, which takes the same gradient steps without online data.
Studies whose arms are not fleet sizes have a column of another name in its place, such as ``arm``. Times are
virtual seconds; what depends on the machine's clock has ``wall`` in its name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sop_bench.errors import ConfigurationError, CorruptDataError
from sop_bench.studies.stats import Outcomes, wilson

CONTROL = 0
TABLES = ("evaluations", "episodes", "versions", "learner")
_LEARNER_ROWS = 400  # per cell: enough to draw, small enough for a repository

_REQUIRED = {
    "evaluations": {"seed", "time_s", "scene", "success"},
    "episodes": {"seed", "started_s", "duration_s", "operator_s"},
}


@dataclass(frozen=True)
class Records:
    """The tables of one study that summaries and figures need.

    `by` is the column that tells the arms of the study apart: fleet sizes, or names.
    """

    evaluations: pd.DataFrame
    episodes: pd.DataFrame
    by: str = "robots"

    @property
    def seeds(self) -> list[int]:
        return np.unique(column(self.evaluations, "seed")).tolist()

    @property
    def arms(self) -> list[Any]:
        """Fleet sizes, rising, the control first if there is one; or names in alphabetical order."""
        return np.unique(column(self.evaluations, self.by)).tolist()

    @property
    def fleets(self) -> list[int]:
        """Fleet sizes without the control, rising."""
        return [n for n in self.arms if n != CONTROL]

    @property
    def times_s(self) -> NDArray[np.float64]:
        """(times,) evaluation times, rising, shared by all cells."""
        return np.unique(column(self.evaluations, "time_s"))

    @property
    def scenes(self) -> NDArray[Any]:
        """(scenes,) evaluation scenes, rising, shared by all cells."""
        return np.unique(column(self.evaluations, "scene"))

    @property
    def tasks(self) -> list[str]:
        """In alphabetical order; none if the tables do not say, as those of one task need not."""
        return sorted(set(self.evaluations["task"])) if "task" in self.evaluations else []

    def only(self, tasks: Collection[str]) -> Records:
        """The records of some tasks; their tables must say which task a row is of."""
        parts = [table.loc[table["task"].isin(list(tasks)), :] for table in (self.evaluations, self.episodes)]
        return Records(*parts, by=self.by)

    def outcomes(self, arm: int | str) -> Outcomes:
        """(seeds, times, scenes) success of one arm; raises as `values` does."""
        return self.values(arm, "success").astype(bool)

    def values(self, arm: int | str, name: str) -> NDArray[Any]:
        """(seeds, times, scenes) of one arm and one column of the evaluations.

        Raises:
            CorruptDataError: A scene was not evaluated at some time or seed, or was twice.
        """
        axes = {"seed": np.asarray(self.seeds), "time_s": self.times_s, "scene": self.scenes}
        shape = tuple(len(values) for values in axes.values())
        rows = self.evaluations.loc[column(self.evaluations, self.by) == arm, :]
        place = tuple(np.searchsorted(values, column(rows, name)) for name, values in axes.items())
        times_seen = np.zeros(shape, dtype=int)
        np.add.at(times_seen, place, 1)
        if (times_seen != 1).any():
            who = f"fleet of {arm}" if self.by == "robots" else f"{self.by} {arm!r}"
            raise CorruptDataError(
                f"The {who} has {len(rows)} evaluation episodes; expected {shape[0]} seeds x "
                f"{shape[1]} times x {shape[2]} scenes, each once. Run the study again to complete it."
            )
        found = column(rows, name)
        values = np.zeros(shape, dtype=found.dtype)
        values[place] = found
        return values

    def curve(self) -> pd.DataFrame:
        """One row per arm, seed and time: success, its Wilson interval, and what it had cost by then."""
        rows = []
        ended_s = column(self.episodes, "started_s") + column(self.episodes, "duration_s")
        for arm in self.arms:
            solved = self.outcomes(arm).sum(axis=2)
            for (i, seed), (j, time_s) in product(enumerate(self.seeds), enumerate(self.times_s)):
                rate = wilson(int(solved[i, j]), len(self.scenes))
                mine = (column(self.episodes, self.by) == arm) & (column(self.episodes, "seed") == seed)
                before = self.episodes.loc[mine & (ended_s <= time_s), :]
                rows.append(
                    {
                        self.by: arm,
                        "seed": seed,
                        "time_s": time_s,
                        "success": rate.mean,
                        "low": rate.low,
                        "high": rate.high,
                        "evaluation_episodes": len(self.scenes),
                        "online_episodes": len(before),
                        "robot_minutes": column(before, "duration_s").sum() / 60,
                        "operator_minutes": column(before, "operator_s").sum() / 60,
                    }
                )
        return pd.DataFrame(rows)

    def operator_minutes(self, arm: int | str) -> float:
        """Minutes of operator attention that an arm's fleet was charged, mean over seeds."""
        mine = column(self.episodes, self.by) == arm
        return float(column(self.episodes, "operator_s")[mine].sum()) / 60 / len(self.seeds)


def column(table: pd.DataFrame, name: str) -> NDArray[Any]:
    """One column as a plain array."""
    return np.asarray(table[name])


def gather(cells: Iterable[tuple[Any, int, Path]], directory: Path, by: str = "robots") -> Records:
    """Merge the tables of finished cells, (arm, seed, folder) each, into `directory`, and return them."""
    merged: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for arm, seed, folder in cells:
        for name, parts in merged.items():
            path = folder / f"{name}.parquet"
            if not path.exists():
                continue
            part = _read(path)
            if name == "learner":
                part = part.iloc[:: max(1, -(-len(part) // _LEARNER_ROWS))]
            # A fleet's own columns win: cells that already say who they are are not renamed.
            parts.append(part.assign(**{by: arm, "seed": seed}))
    for name, parts in merged.items():
        filled = [part for part in parts if len(part)]
        if filled or parts:
            table = pd.concat(filled or parts[:1], ignore_index=True)
            _write(_leading(table, (by, "seed")), directory / f"{name}.parquet")
    records = load(directory, by)
    part = directory / ".curve.csv.part"
    records.curve().to_csv(part, index=False, float_format="%.6g")
    part.replace(directory / "curve.csv")
    return records


def load(directory: Path, by: str = "robots") -> Records:
    """The records in `directory`.

    Raises:
        ConfigurationError: There are none.
        CorruptDataError: A table is damaged or lacks a column.
    """
    tables: dict[str, pd.DataFrame] = {}
    for name, required in _REQUIRED.items():
        path = directory / f"{name}.parquet"
        if not path.exists():
            raise ConfigurationError(
                f"{directory} holds no study: {path.name} is missing. Give the folder of a finished "
                f"study, such as results/scale."
            )
        tables[name] = _read(path)
        if missing := sorted({by, *required} - set(tables[name].columns)):
            raise CorruptDataError(f"{path} lacks the columns {missing}. Restore it, or run the study again.")
    return Records(**tables, by=by)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise CorruptDataError(
            f"{path} is damaged ({error}). Delete it and run again, or restore it from a copy."
        ) from error


def _write(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    table.to_parquet(part, index=False, compression="zstd")
    part.replace(path)


def _leading(table: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    return table.reindex(columns=[*names, *(name for name in table.columns if name not in names)])

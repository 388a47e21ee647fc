"""The replay: which frames of which episodes there are to train on, by task and source.

Memory grows with this index, not with pixels: an episode's images are read once, to compute the frozen
features of its trainable frames, and left on disk. Adding an episode twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sop_bench.episode import Episode, Source
from sop_bench.learner.frames import FrameRows, FrameTable
from sop_bench.learner.sampler import ONLINE, Draw
from sop_bench.posttrain.base import Selection

NEVER = -1


@dataclass(frozen=True)
class EpisodeRecord:
    """An ingested episode.

    Attributes:
        task, source: Its group: index of the task, and `ONLINE` or `OFFLINE`.
        frames: How many of its frames are trained on.
        uploaded_s, ingested_s: Fleet clock at which it had arrived, and became sampleable.
    """

    episode_id: str
    path: str
    instruction: str
    task: int
    source: int
    frames: int
    uploaded_s: float
    ingested_s: float


@dataclass
class _Group:
    """The rows of one task and source, with their weights, in order of ingestion."""

    rows: list[NDArray[np.int64]] = field(default_factory=list)
    weight: list[NDArray[np.float64]] = field(default_factory=list)
    helped: list[NDArray[np.bool_]] = field(default_factory=list)
    _merged: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None

    def add(self, rows: NDArray, weight: NDArray, helped: NDArray) -> None:
        self.rows.append(rows)
        self.weight.append(weight.astype(np.float64))
        self.helped.append(helped)
        self._merged = None

    def draw(self, count: int, helped_share: float | None, rng: np.random.Generator) -> NDArray[np.int64]:
        if self._merged is None:
            self._merged = self._merge(helped_share)
        rows, cumulative = self._merged
        place = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
        return rows[np.minimum(place, len(rows) - 1)]

    def _merge(self, helped_share: float | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        self.rows = [np.concatenate(self.rows)]
        self.weight = [np.concatenate(self.weight)]
        self.helped = [np.concatenate(self.helped)]
        weight, helped = self.weight[0], self.helped[0]
        if helped_share is not None and helped.any() and not helped.all():
            weight = np.where(
                helped,
                weight * (helped_share / weight[helped].sum()),
                weight * ((1 - helped_share) / weight[~helped].sum()),
            )
        return self.rows[0], np.cumsum(weight)


class Replay:
    """An index of trainable frames.

    Args:
        tasks: Names of the tasks that are trained on; a group's task is an index into them.
        table: An empty table for the frames.
        intervention_share: Share of helped frames among online draws; ``None`` for as they come.
    """

    def __init__(self, tasks: Sequence[str], table: FrameTable, intervention_share: float | None = None):
        self.tasks = tuple(tasks)
        self._table, self._intervention_share = table, intervention_share
        self._groups = [[_Group(), _Group()] for _ in self.tasks]
        self._counts = np.zeros((len(self.tasks), 2), np.int64)
        self._first_sampled: list[int] = []
        self.records: list[EpisodeRecord] = []
        self._ids: set[str] = set()

    def __contains__(self, episode_id: str) -> bool:
        return episode_id in self._ids

    def __len__(self) -> int:
        return len(self._table)

    @property
    def nbytes(self) -> int:
        """Bytes held for frames and groups."""
        return self._table.nbytes + len(self) * (8 + 8 + 1 + 8)

    @property
    def counts(self) -> NDArray[np.int64]:
        """(tasks, 2) trainable frames, offline then online."""
        return self._counts.copy()

    def add(
        self,
        episode: Episode,
        selection: Selection,
        features: NDArray[np.floating],
        *,
        source: int,
        path: Path,
        uploaded_s: float,
        ingested_s: float,
    ) -> None:
        """Add the selected frames of an episode, unless an episode of this id is there already.

        Args:
            features: (K, F) of the K selected frames.
            source: `ONLINE` or `OFFLINE`.
        """
        header = episode.header
        if header.episode_id in self._ids:
            return
        record = EpisodeRecord(
            episode_id=header.episode_id,
            path=str(path),
            instruction=header.instruction,
            task=self.tasks.index(header.task),
            source=source,
            frames=len(selection.steps),
            uploaded_s=uploaded_s,
            ingested_s=ingested_s,
        )
        rows = self._table.append(len(self.records), episode, selection, features)
        helped = episode.frames.source[selection.steps] != Source.POLICY
        self._register(record, rows, selection.weight, helped, NEVER)

    def _register(
        self, record: EpisodeRecord, rows: NDArray, weight: NDArray, helped: NDArray, first_sampled: int
    ) -> None:
        self.records.append(record)
        self._ids.add(record.episode_id)
        self._first_sampled.append(first_sampled)
        if len(rows):
            self._groups[record.task][record.source].add(rows, weight, helped)
            self._counts[record.task, record.source] += len(rows)

    def sample(self, draw: Draw, rng: np.random.Generator) -> NDArray[np.int64]:
        """A row for each of the B samples of `draw`, by weight within its task and source."""
        rows = np.empty(len(draw.task), np.int64)
        for task, groups in enumerate(self._groups):
            for source, group in enumerate(groups):
                here = (draw.task == task) & (draw.source == source)
                if here.any():
                    share = self._intervention_share if source == ONLINE else None
                    rows[here] = group.draw(int(here.sum()), share, rng)
        return rows

    def take(self, rows: NDArray[np.int64], learner_step: int) -> tuple[FrameRows, list[str]]:
        """The frames at `rows`, and the ids of the episodes that are sampled for the first time."""
        taken = self._table.take(rows)
        fresh: list[str] = []
        for number in np.unique(taken.episode):
            if self._first_sampled[number] == NEVER:
                self._first_sampled[number] = learner_step
                fresh.append(self.records[number].episode_id)
        return taken, fresh

    def first_sampled(self) -> dict[str, int]:
        """Learner step at which each episode was first sampled, by id; `NEVER` for those still waiting."""
        return {
            record.episode_id: step for record, step in zip(self.records, self._first_sampled, strict=True)
        }

    def save(self) -> tuple[dict[str, NDArray], list[dict[str, Any]]]:
        """Everything that must survive a restart: arrays, and plain data for JSON."""
        arrays = self._table.save()
        weight, helped = np.ones(len(self)), np.zeros(len(self), bool)
        for group in (group for groups in self._groups for group in groups):
            for rows, weights, helps in zip(group.rows, group.weight, group.helped, strict=True):
                weight[rows], helped[rows] = weights, helps
        arrays |= {"weight": weight, "helped": helped}
        plain = [
            {**asdict(record), "first_sampled": step}
            for record, step in zip(self.records, self._first_sampled, strict=True)
        ]
        return arrays, plain

    def load(self, arrays: dict[str, NDArray], plain: Sequence[Mapping[str, Any]]) -> None:
        """Fill this empty replay with what `save` gave."""
        self._table.load(arrays)
        first = 0
        for data in plain:
            fields = dict(data)
            step = fields.pop("first_sampled")
            record = EpisodeRecord(**fields)
            rows = np.arange(first, first + record.frames)
            self._register(record, rows, arrays["weight"][rows], arrays["helped"][rows], step)
            first += record.frames

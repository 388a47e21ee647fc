"""The learner under the virtual clock: span after span of steps, each ending in a new version."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Protocol

from sop_bench.fleet.cell import ROUNDING_S, Rounds
from sop_bench.fleet.shared import Events, Fleet
from sop_bench.fleet.spans import Arrival, LearnerJob, Span, SpanJob, SpanResult, train_span_job
from sop_bench.fleet.tables import LearnerRow, VersionRow


@dataclass(frozen=True)
class Fate:
    """What became of an episode after it was sent; NaN for what never happened. See `EpisodeRow`."""

    uploaded_s: float = math.nan
    ingested_s: float = math.nan
    first_sampled_s: float = math.nan
    frames: int = 0
    problem: str = ""


class Subscriber(Protocol):
    """A robot, as the learner sees it."""

    held: int
    newest: int
    arrived_s: dict[int, float]
    acknowledged_s: dict[int, float]

    def receive(self, version: int) -> Events:
        """A published version on its way to this robot."""
        ...


class Watcher(Protocol):
    """Something that may still need the weights of old versions."""

    def needed_versions(self) -> set[int]: ...


@dataclass(frozen=True)
class _Trained:
    span: Span
    ended_s: float
    result: SpanResult


class LearnerProcess:
    """The one learner of a fleet.

    Args:
        fleet: What is shared.
    """

    def __init__(self, fleet: Fleet):
        self._fleet = fleet
        self.robots: Sequence[Subscriber] = ()
        self.watchers: Sequence[Watcher] = ()
        self._inbox: list[Arrival] = []
        self._fates: dict[str, Fate] = {}
        self._trained: list[_Trained] = []
        self._unsaved: list[Span] = []
        self._pruned = 0
        config = fleet.config
        self._job = LearnerJob(
            directory=fleet.directory,
            token=fleet.journal.token,
            checkpoint=config.checkpoint,
            demos=tuple(config.demonstration_files()),
            tasks=config.tasks,
            algorithm=config.algorithm,
            config=config.learner,
            sampler=config.sampler,
            seed=config.seed,
        )

    # ------------------------------------------------------------------------------- what others ask

    @property
    def version(self) -> int:
        """The newest published version; 0 before the first."""
        return len(self._trained)

    @property
    def learner_step(self) -> int:
        """Gradient steps of the newest published version."""
        return self.step_of(self.version)

    def step_of(self, version: int) -> int:
        return self._trained[version - 1].result.learner_step if version else 0

    def hash_of(self, version: int) -> str:
        return self._trained[version - 1].result.version.content_hash if version else ""

    def published_s(self, version: int) -> float:
        return self._trained[version - 1].ended_s if version else 0.0

    def newest_at(self, time_s: float) -> int:
        """The newest version published by a time."""
        return bisect_right(self._trained, time_s, key=lambda trained: trained.ended_s)

    def fate_of(self, episode_id: str) -> Fate:
        return self._fates.get(episode_id, Fate())

    def deliver(self, episode_id: str) -> None:
        """An episode has been uploaded; the next span trains on it too."""
        now_s = self._fleet.clock.now
        self._inbox.append(Arrival(self._fleet.episode_file(episode_id), now_s))
        self._fates[episode_id] = Fate(uploaded_s=now_s)

    # ---------------------------------------------------------------------------------------- running

    def run(self) -> Events:
        config, clock = self._fleet.config, self._fleet.clock
        if config.rounds is not None:
            yield from self._run_in_rounds(config.rounds)
            return
        yield clock.timeout(config.learner_start_s)
        while clock.now + config.span_s <= config.duration_s + ROUNDING_S:
            # What has arrived when a span begins is what it trains on: known now, so it can be computed now.
            span = self._next_span()
            future = self._submit(span)
            yield clock.timeout(config.span_s)
            self._publish(_Trained(span, clock.now, future.result()))
            self._fleet.tell()

    def _run_in_rounds(self, rounds: Rounds) -> Events:
        """Train when a round has ended, while the clock stands: see `Rounds`."""
        config, clock = self._fleet.config, self._fleet.clock
        for number in range(1, rounds.count + 1):
            yield clock.timeout(config.duration_s * number / rounds.count - clock.now)
            span = self._next_span()
            self._publish(_Trained(span, clock.now, self._submit(span).result()))
            self._fleet.tell()

    def _next_span(self) -> Span:
        span = Span(self.version + 1, self._fleet.clock.now, tuple(self._inbox))
        self._inbox.clear()
        return span

    def _submit(self, span: Span) -> Future[SpanResult]:
        fleet, config = self._fleet, self._fleet.config
        if (span.number - 1) % config.save_every == 0:
            self._unsaved.clear()
        self._unsaved.append(span)
        output = fleet.update_file(span.number)
        assert output is not None  # only version 0 has none
        job = SpanJob(self._job, tuple(self._unsaved), config.span_steps, output, config.save_every)
        return fleet.journal.future(
            f"span/{span.number}",
            SpanResult.from_json,
            lambda: fleet.engine.submit(train_span_job, job, affinity=fleet.learner_home),
        )

    def _publish(self, trained: _Trained) -> None:
        self._trained.append(trained)
        self._record_fates(trained)
        for robot in self.robots:
            self._fleet.clock.process(robot.receive(self.version))
        self._prune(trained)

    def _record_fates(self, trained: _Trained) -> None:
        span, result, config = trained.span, trained.result, self._fleet.config
        for ingested in result.ingested:
            self._fates[ingested.episode_id] = replace(
                self._fates[ingested.episode_id],
                ingested_s=span.started_s,
                frames=ingested.frames,
                problem=ingested.problem,
            )
        first_step = result.learner_step - config.span_steps + 1
        steps_per_s = math.inf if config.rounds is not None else config.learner_steps_per_s
        for episode_id, step in result.first_sampled.items():
            if episode_id in self._fates:  # demonstrations are sampled too
                at_s = span.started_s + (step - first_step) / steps_per_s
                self._fates[episode_id] = replace(self._fates[episode_id], first_sampled_s=at_s)

    def _prune(self, trained: _Trained) -> None:
        """Delete files that nothing can need any more, also not after a crash."""
        config = self._fleet.config
        if not config.keep_updates:
            needed = {version for watcher in self.watchers for version in watcher.needed_versions()}
            oldest = min([self.version, *(min(robot.held, robot.newest) for robot in self.robots)])
            for version in range(self._pruned + 1, oldest):
                if version not in needed and (file := self._fleet.update_file(version)) is not None:
                    file.unlink(missing_ok=True)
            while self._pruned + 1 < oldest and self._pruned + 1 not in needed:
                self._pruned += 1
        saved = trained.span.number % config.save_every == 0
        if saved and not config.keep_episodes and config.learner.mode == "head":
            for span in self._unsaved:
                for arrival in span.arrivals:
                    arrival.path.unlink(missing_ok=True)

    # ---------------------------------------------------------------------------------------- records

    def rows(self) -> list[LearnerRow]:
        return [
            LearnerRow(
                span=trained.span.number,
                learner_step=row.learner_step,
                started_s=trained.span.started_s,
                ended_s=trained.ended_s,
                task=row.task,
                omega_on=row.omega_on,
                loss_on=row.loss_on,
                loss_off=row.loss_off,
                loss=trained.result.loss,
                learning_rate=trained.result.learning_rate,
                arrivals=len(trained.span.arrivals),
                ingest_wall_s=trained.result.ingest_wall_s,
                train_wall_s=trained.result.train_wall_s,
            )
            for trained in self._trained
            for row in trained.result.rows
        ]

    def version_rows(self) -> list[VersionRow]:
        return [
            VersionRow(
                version=version,
                content_hash=self.hash_of(version),
                learner_step=self.step_of(version),
                published_s=self.published_s(version),
                arrived_s=tuple(robot.arrived_s.get(version, math.nan) for robot in self.robots),
                acknowledged_s=tuple(robot.acknowledged_s.get(version, math.nan) for robot in self.robots),
            )
            for version in range(1, self.version + 1)
        ]

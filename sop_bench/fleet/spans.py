"""The job of the learner: one span of gradient steps, from one version to the next.

A span is a pure function of the state the learner was saved in and of what arrived since. The worker keeps
the learner of the span before, which makes the usual span cheap; any other worker can compute it from disk.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sop_bench.episode import load_header
from sop_bench.errors import CorruptDataError
from sop_bench.fleet.warm import Kept
from sop_bench.learner.features import KnownFeatures
from sop_bench.learner.learner import Ingested, Learner
from sop_bench.learner.optimiser import LearnerConfig
from sop_bench.learner.sampler import OFFLINE, ONLINE, SamplerConfig, SamplerRow
from sop_bench.policy.base import PolicyVersion
from sop_bench.posttrain.base import Algorithm


@dataclass(frozen=True)
class Arrival:
    """An episode that has reached the learner."""

    path: Path
    uploaded_s: float


@dataclass(frozen=True)
class Span:
    """What a span starts from: number k makes version k."""

    number: int
    started_s: float
    arrivals: tuple[Arrival, ...]


@dataclass(frozen=True)
class LearnerJob:
    """How a cell's learner is made.

    Attributes:
        directory: Of the cell; states are saved under ``states/``.
        token: Tells runs apart that used the same folder one after the other.
    """

    directory: Path
    token: str
    checkpoint: Path
    demos: tuple[Path, ...]
    tasks: tuple[str, ...]
    algorithm: Algorithm
    config: LearnerConfig
    sampler: SamplerConfig
    seed: int


@dataclass(frozen=True)
class SpanJob:
    """One span.

    Attributes:
        spans: Those since the last saved state; the last of them is the one to compute.
        steps: Gradient steps in each.
        output: Where the new version is written.
        save_every: States are saved after spans whose number is a multiple of this.
    """

    learner: LearnerJob
    spans: tuple[Span, ...]
    steps: int
    output: Path
    save_every: int


@dataclass(frozen=True)
class SpanResult:
    """What a span did.

    Attributes:
        version: Of the weights now in the output file.
        loss: Mean over the span.
        rows: The sampler's row of each task at the span's end.
        ingested: What became of each arrival, in order.
        first_sampled: Learner step at which episodes were first sampled, by id.
        ingest_wall_s, train_wall_s: What it cost on this machine.
    """

    version: PolicyVersion
    learner_step: int
    loss: float
    learning_rate: float
    rows: tuple[SamplerRow, ...]
    ingested: tuple[Ingested, ...]
    first_sampled: Mapping[str, int]
    ingest_wall_s: float
    train_wall_s: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SpanResult:
        made = {
            "version": PolicyVersion(**data["version"]),
            "rows": tuple(SamplerRow(**row) for row in data["rows"]),
            "ingested": tuple(Ingested(**row) for row in data["ingested"]),
        }
        return cls(**{**data, **made})


@dataclass
class _Warm:
    """A learner as some span left it."""

    learner: Learner
    number: int


_warm: Kept[_Warm] = Kept(16)
_demonstration_features: KnownFeatures = {}


def state_of(directory: Path, number: int) -> Path:
    """Where the learner is saved after a span."""
    return directory / "states" / f"{number:06d}"


def train_span_job(job: SpanJob) -> SpanResult:
    """Compute the last of the job's spans and publish its version.

    Raises:
        DivergedError: A loss is not finite; nothing is published.
    """
    key = (job.learner.directory, job.learner.token)
    first, wanted = job.spans[0].number, job.spans[-1].number
    warm = _warm.get(key, lambda: _rebuild(job.learner, first - 1))
    if not first - 1 <= warm.number < wanted:
        _warm.discard(key)
        warm = _warm.get(key, lambda: _rebuild(job.learner, first - 1))
    try:
        results = [_train(warm, span, job) for span in job.spans[warm.number - first + 1 :]]
        _save_if_due(warm, job)
    except BaseException:
        _warm.discard(key)  # it may have stopped half-way
        raise
    return results[-1]


def forget_learner_job(directory: Path, token: str) -> None:
    """Free the memory of a finished cell's learner."""
    _warm.discard((directory, token))


def _rebuild(made: LearnerJob, number: int) -> _Warm:
    learner = Learner(
        made.checkpoint,
        made.tasks,
        made.algorithm,
        made.config,
        made.sampler,
        made.seed,
        demonstration_features=_demonstration_features,
    )
    if number > 0:
        learner.load(state_of(made.directory, number))
        return _Warm(learner, number)
    for path in made.demos:
        if _is_trained_on(path, made.tasks):
            learner.ingest(path, source=OFFLINE)
    return _Warm(learner, 0)


def _is_trained_on(path: Path, tasks: tuple[str, ...]) -> bool:
    try:
        return load_header(path).task in tasks
    except CorruptDataError:
        return True  # the learner says what is wrong with it


def _train(warm: _Warm, span: Span, job: SpanJob) -> SpanResult:
    learner = warm.learner
    began_s = time.perf_counter()
    ingested = tuple(
        learner.ingest(arrival.path, source=ONLINE, uploaded_s=arrival.uploaded_s, ingested_s=span.started_s)
        for arrival in span.arrivals
    )
    ingested_s = time.perf_counter()
    report = learner.train(job.steps)
    trained_s = time.perf_counter()
    last = span is job.spans[-1]
    version = learner.publish(job.output, span.number) if last else learner.base
    warm.number = span.number
    return SpanResult(
        version=version,
        learner_step=report.learner_step,
        loss=report.loss,
        learning_rate=report.learning_rate,
        rows=report.rows,
        ingested=ingested,
        first_sampled=report.first_sampled,
        ingest_wall_s=ingested_s - began_s,
        train_wall_s=trained_s - ingested_s,
    )


def _save_if_due(warm: _Warm, job: SpanJob) -> None:
    if warm.number % job.save_every == 0:
        directory = job.learner.directory
        warm.learner.save(state_of(directory, warm.number))
        # The state before is kept: this span is asked for again if its result is lost in a crash.
        shutil.rmtree(state_of(directory, warm.number - 2 * job.save_every), ignore_errors=True)

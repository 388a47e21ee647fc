"""Evaluations under the virtual clock: made of what is published at given times, without delaying it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from sop_bench.fleet.jobs import EvaluationJob, EvaluationSummary, Scene, evaluate_job
from sop_bench.fleet.learner_process import LearnerProcess
from sop_bench.fleet.shared import Events, Fleet
from sop_bench.fleet.tables import EvaluationRow


@dataclass(frozen=True)
class _Part:
    """Some scenes of one task, by their places in the evaluation."""

    task: str
    places: tuple[int, ...]
    scenes: tuple[Scene, ...]


@dataclass(frozen=True)
class _Evaluated:
    time_s: float
    version: int
    learner_step: int
    futures: tuple[Future[EvaluationSummary], ...]

    @property
    def done(self) -> bool:
        return all(future.done() for future in self.futures)


class EvaluationProcess:
    """Evaluates the newest published version at the planned times, and ends the run.

    Args:
        fleet: What is shared.
        learner: Whose versions are evaluated.
    """

    def __init__(self, fleet: Fleet, learner: LearnerProcess):
        self._fleet, self._learner = fleet, learner
        self._parts = list(_parts(fleet))
        self._evaluated: list[_Evaluated] = []
        self._futures: dict[int, tuple[Future[EvaluationSummary], ...]] = {}

    def run(self) -> Events:
        clock, config = self._fleet.clock, self._fleet.config
        for time_s in config.evaluation.times_s:
            yield clock.timeout(time_s - clock.now)
            yield clock.timeout(0)  # whatever is published at this very time counts
            version = self._learner.version
            if version not in self._futures:
                self._futures[version] = tuple(
                    self._submit(version, place) for place in range(len(self._parts))
                )
            evaluated = _Evaluated(time_s, version, self._learner.learner_step, self._futures[version])
            self._evaluated.append(evaluated)
            self._fleet.tell()
        yield clock.timeout(config.duration_s - clock.now)
        yield clock.timeout(0)

    def _submit(self, version: int, place: int) -> Future[EvaluationSummary]:
        fleet, config, part = self._fleet, self._fleet.config, self._parts[place]
        # What a cell starts from is not of the cell: equal jobs of several cells can be computed once.
        run_id = fleet.run_id if version else "pretrained"
        job = EvaluationJob(
            robot=config.adapter,
            checkpoint=config.checkpoint,
            update=fleet.update_file(version),
            task=part.task,
            scenes=part.scenes,
            split=config.evaluation.split,
            execute_steps=config.execute_steps,
            run_id=run_id,
            evaluation_id=f"{run_id}-v{version:06d}",
        )
        return fleet.journal.future(
            # With its scenes: a run that another version of this file cut otherwise is not taken up wrongly.
            f"evaluation/{version}/{part.places[0]}-{part.places[-1]}",
            EvaluationSummary.from_json,
            lambda: fleet.engine.submit(evaluate_job, job, background=True),
        )

    def needed_versions(self) -> set[int]:
        """Versions whose evaluation is not complete."""
        return {evaluated.version for evaluated in self._evaluated if not evaluated.done}

    def latest(self) -> tuple[float, float] | None:
        """Time and success rate of the latest complete evaluation."""
        for evaluated in reversed(self._evaluated):
            if evaluated.done:
                episodes = [episode for future in evaluated.futures for episode in future.result().episodes]
                success = sum(episode.header.success for episode in episodes)
                return evaluated.time_s, success / max(1, len(episodes))
        return None

    def rows(self) -> list[EvaluationRow]:
        """Waits for what is not computed yet."""
        rows: list[EvaluationRow] = []
        for evaluated in self._evaluated:
            fresh = [
                row
                for part, future in zip(self._parts, evaluated.futures, strict=True)
                for row in self._rows(evaluated, part, future.result())
            ]
            rows.extend(sorted(fresh, key=lambda row: row.scene))
            self._fleet.tell()
        return rows

    def _rows(
        self, evaluated: _Evaluated, part: _Part, summary: EvaluationSummary
    ) -> Iterator[EvaluationRow]:
        for place, scene, episode in zip(part.places, part.scenes, summary.episodes, strict=True):
            header = episode.header
            yield EvaluationRow(
                time_s=evaluated.time_s,
                policy_version=evaluated.version,
                policy_hash=header.policy_hash,
                learner_step=evaluated.learner_step,
                task=part.task,
                scene=place,
                scene_seed=header.seed,
                station_seed=scene.station_seed,
                instruction=header.instruction,
                success=header.success,
                outcome=str(header.outcome),
                reason=header.reason,
                steps=episode.steps,
                duration_s=episode.duration_s,
                compute_wall_s=episode.wall_s,
            )


def _parts(fleet: Fleet) -> Iterator[_Part]:
    """The plan's scenes, cut by task: the scenes of a job are asked about together."""
    plan = fleet.config.evaluation
    scenes = [
        Scene(plan.station_seeds[place % len(plan.station_seeds)], seed)
        for place, seed in enumerate(plan.seeds)
    ]
    for index, task in enumerate(fleet.config.tasks):
        for start in range(0, len(scenes), plan.chunk):
            chosen = scenes[start : start + plan.chunk]
            first = index * len(scenes) + start
            yield _Part(task, tuple(range(first, first + len(chosen))), tuple(chosen))

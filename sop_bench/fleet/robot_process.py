"""A robot under the virtual clock: pull, reset, run, upload, and again."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import simpy
from simpy.resources.resource import Request

from sop_bench.fleet.cell import CellConfig
from sop_bench.fleet.jobs import EpisodeJob, EpisodeSummary, run_episode_job
from sop_bench.fleet.learner_process import LearnerProcess
from sop_bench.fleet.shared import Events, Fleet
from sop_bench.fleet.streams import scene_seed, stream
from sop_bench.fleet.tables import EpisodeRow
from sop_bench.posttrain.hg_dagger import HGDagger
from sop_bench.rollout import EpisodeRequest, Pixels


@dataclass(frozen=True)
class _Finished:
    """An online episode with its times on the fleet's clock."""

    summary: EpisodeSummary
    version: int
    supervised: bool
    pulled_s: float
    started_s: float
    ended_s: float


class RobotProcess:
    """One robot of a fleet.

    `held` is the version it acts with, `newest` the newest that has reached it.
    """

    def __init__(self, fleet: Fleet, learner: LearnerProcess, index: int):
        self._fleet, self._learner, self.index = fleet, learner, index
        self.held = self.newest = 0
        self.acknowledged_s: dict[int, float] = {}
        self.arrived_s: dict[int, float] = {}
        self.finished: list[_Finished] = []
        self.helped = 0

    def run(self) -> Events:
        config, clock = self._fleet.config, self._fleet.clock
        episode = 0
        while True:
            request = yield from self._claim_operator()
            if clock.now + config.reset_s >= config.duration_s:
                return  # an episode that would be cut off need not be computed
            self.held = self.newest
            pulled_s = clock.now
            self.acknowledged_s.setdefault(self.held, pulled_s)
            # Submitted at the reset, needed at the first frame: the reset is the time there is to compute.
            future = self._submit(episode, request is not None, pulled_s + config.reset_s)
            yield clock.timeout(config.reset_s)
            started_s = clock.now
            summary = future.result()
            yield clock.timeout(summary.duration_s)
            if request is not None:
                self._fleet.operators.release(request)
            supervised = request is not None
            self._finish(_Finished(summary, self.held, supervised, pulled_s, started_s, clock.now), episode)
            episode += 1

    def _claim_operator(self) -> Generator[simpy.Event, Any, Request | None]:
        config, operators = self._fleet.config, self._fleet.operators
        if config.supervisor is None or not self._fleet.attention_left():
            return None
        if config.without_operator == "unsupervised" and operators.count >= operators.capacity:
            return None
        request = operators.request()
        yield request
        return request

    def _submit(self, episode: int, supervised: bool, started_s: float) -> Future[EpisodeSummary]:
        fleet, config = self._fleet, self._fleet.config
        episode_id = f"{fleet.run_id}-r{self.index:02d}-e{episode:05d}"
        scene = scene_seed(config.seed, self.index, episode)
        job = EpisodeJob(
            robot=config.adapter,
            station_seed=config.station_of(self.index),
            checkpoint=config.checkpoint,
            update=fleet.update_file(self.held),
            request=EpisodeRequest(
                task=config.task_of(self.index, episode),
                seed=scene,
                rng_seed=config.seed,
                execute_steps=config.execute_steps,
                pixels=_pixels(config),
                run_id=fleet.run_id,
                episode_id=episode_id,
                robot_index=self.index,
                started_s=started_s,
            ),
            supervisor=config.supervisor if supervised else None,
            output=fleet.episode_file(episode_id),
            pixels_for=config.algorithm if config.pixels == "trainable" else None,
        )
        return fleet.journal.future(
            f"episode/{self.index}/{episode}",
            EpisodeSummary.from_json,
            lambda: fleet.engine.submit(run_episode_job, job),
        )

    def _finish(self, finished: _Finished, episode: int) -> None:
        self.finished.append(finished)
        self.helped += bool(finished.summary.header.takeovers)
        self._fleet.attention_s += finished.summary.header.operator_s
        if finished.summary.path is not None:
            self._fleet.clock.process(self._upload(finished.summary, episode))
        self._fleet.tell()

    def _upload(self, summary: EpisodeSummary, episode: int) -> Events:
        config = self._fleet.config
        delay = config.delays.upload.sample(stream(config.seed, "upload", self.index, episode))
        yield self._fleet.clock.timeout(delay)
        self._learner.deliver(summary.header.episode_id)

    def receive(self, version: int) -> Events:
        """A published version on its way to this robot."""
        config = self._fleet.config
        yield self._fleet.clock.timeout(
            config.delays.publish.sample(stream(config.seed, "publish", version, self.index))
        )
        self.arrived_s[version] = self._fleet.clock.now
        self.newest = max(self.newest, version)  # a late one may be overtaken

    def rows(self) -> list[EpisodeRow]:
        return [self._row(finished) for finished in self.finished]

    def _row(self, finished: _Finished) -> EpisodeRow:
        summary, header, learner = finished.summary, finished.summary.header, self._learner
        fate = learner.fate_of(header.episode_id)
        return EpisodeRow(
            episode_id=header.episode_id,
            robot=self.index,
            station_seed=self._fleet.config.station_of(self.index),
            task=header.task,
            scene=header.seed,
            instruction=header.instruction,
            policy_version=finished.version,
            policy_hash=header.policy_hash,
            outcome=str(header.outcome),
            reason=header.reason,
            success=header.success,
            autonomous_success=header.autonomous_success,
            supervised=finished.supervised,
            started_s=finished.started_s,
            ended_s=finished.ended_s,
            duration_s=summary.duration_s,
            steps=summary.steps,
            uploaded_s=fate.uploaded_s,
            ingested_s=fate.ingested_s,
            first_sampled_s=fate.first_sampled_s,
            trainable_frames=fate.frames,
            takeovers=len(header.takeovers),
            hazards=";".join(header.takeovers),
            intervention_s=header.intervention_s,
            operator_s=header.operator_s,
            pulled_s=finished.pulled_s,
            weights_age_s=finished.started_s - learner.published_s(finished.version),
            versions_behind=learner.newest_at(finished.started_s) - finished.version,
            problem=fate.problem,
            compute_wall_s=summary.wall_s,
        )


def _pixels(config: CellConfig) -> Pixels:
    """Images that nothing will be trained on are not rendered, unless all are to be kept."""
    only_helped = isinstance(config.algorithm, HGDagger) and config.algorithm.mode == "interventions"
    return "helped" if only_helped and config.pixels == "trainable" else "all"

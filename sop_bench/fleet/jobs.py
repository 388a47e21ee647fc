"""The jobs that engines compute: one episode, or many episodes of an evaluation.

Each is a pure top-level function of plain data, so that it gives the same result in any process and may be
repeated; robots and policies stay warm in the process (`sop_bench.fleet.warm`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from sop_bench.episode import Episode, EpisodeHeader, Source, save_episode
from sop_bench.errors import RobotFaultError
from sop_bench.fleet.lanes import Placed, run_at_stations
from sop_bench.fleet.warm import policy_for, retire_robot, robot_for
from sop_bench.policy.base import Policy
from sop_bench.posttrain.base import Algorithm
from sop_bench.robot import Outcome, RobotSpec, Split
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.supervision.base import Supervisor


class SupervisorConfig(Protocol):
    """Plain data that makes a supervisor, e.g. `sop_bench.supervision.operator.OperatorConfig`."""

    def build(self) -> Supervisor: ...


@dataclass(frozen=True)
class EpisodeJob:
    """One episode of one robot.

    Attributes:
        robot, station_seed: Which robot, and at which station.
        checkpoint, update: The policy: a checkpoint, and the newer weights to lay over it, if any.
        request: The scene and the names.
        supervisor: Who may take over; nobody if ``None``.
        output: Where the episode is kept; it is not kept if ``None``.
        pixels_for: Keep images only of frames this algorithm trains on; of all frames if ``None``.
    """

    robot: str
    station_seed: int
    checkpoint: Path
    update: Path | None
    request: EpisodeRequest
    supervisor: SupervisorConfig | None = None
    output: Path | None = None
    pixels_for: Algorithm | None = None


@dataclass(frozen=True)
class EpisodeSummary:
    """What the fleet needs to know of an episode: everything but its frames.

    Attributes:
        steps: Control steps, 0 after a fault of the robot.
        helped_steps: Of these, the steps under a supervisor's control.
        path: Where it was kept, if it was.
        wall_s: Seconds it took to compute; the one thing that the machine decides.
    """

    header: EpisodeHeader
    steps: int
    helped_steps: int
    path: Path | None
    wall_s: float

    @property
    def duration_s(self) -> float:
        """Seconds at the robot, without the reset."""
        return self.steps / self.header.control_hz

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path) if self.path else None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EpisodeSummary:
        header = dict(data["header"])
        header.update(outcome=Outcome(header["outcome"]), takeovers=tuple(header["takeovers"]))
        path = Path(data["path"]) if data["path"] else None
        return cls(**{**data, "header": EpisodeHeader(**header), "path": path})


class Scene(NamedTuple):
    """Where an episode of an evaluation is played, and what it starts from."""

    station_seed: int
    seed: int


@dataclass(frozen=True)
class EvaluationJob:
    """Some scenes of an evaluation, without help and without pixels.

    Attributes:
        scenes: Each gives one episode, named ``{evaluation_id}-{seed}``.
        rng_seed: Seeds what is random in an episode besides the scene.
    """

    robot: str
    checkpoint: Path
    update: Path | None
    task: str
    scenes: tuple[Scene, ...]
    split: Split = "test"
    rng_seed: int = 0
    execute_steps: int | None = None
    run_id: str = "evaluation"
    evaluation_id: str = "evaluation"


@dataclass(frozen=True)
class EvaluationSummary:
    """The episodes of an evaluation job, in the order of its scenes."""

    episodes: tuple[EpisodeSummary, ...]

    def to_json(self) -> list[Any]:
        return [episode.to_json() for episode in self.episodes]

    @classmethod
    def from_json(cls, data: Sequence[Mapping[str, Any]]) -> EvaluationSummary:
        return cls(tuple(EpisodeSummary.from_json(episode) for episode in data))


def run_episode_job(job: EpisodeJob) -> EpisodeSummary:
    """Run one episode, keep its file if asked to, and return its summary.

    A fault of the robot ends the episode as a failure without steps; the robot is built anew for the next.
    """
    began_s = time.perf_counter()
    robot = robot_for(job.robot, job.station_seed)
    policy = policy_for(job.checkpoint, job.update)
    supervisor = job.supervisor.build() if job.supervisor else None
    try:
        episode = run_episode(robot, policy, job.request, supervisor)
    except RobotFaultError as fault:
        retire_robot(job.robot, job.station_seed)
        header = _fault_header(job.request, robot.spec, policy, fault)
        return EpisodeSummary(header, 0, 0, None, time.perf_counter() - began_s)
    if job.output is not None:
        save_episode(_only_trainable_pixels(episode, job.pixels_for), job.output)
    return _summary(episode, job.output, time.perf_counter() - began_s)


def evaluate_job(job: EvaluationJob) -> EvaluationSummary:
    """Run every scene of an evaluation job, some at once; a fault of the robot counts as a failure."""
    policy = policy_for(job.checkpoint, job.update)
    placed = [Placed(scene.station_seed, _request(job, scene.seed)) for scene in job.scenes]
    summaries: list[EpisodeSummary] = []
    for (station_seed, request), finished in zip(
        placed, run_at_stations(job.robot, policy, placed), strict=True
    ):
        if isinstance(finished.result, RobotFaultError):
            spec = robot_for(job.robot, station_seed).spec
            header = _fault_header(request, spec, policy, finished.result)
            summaries.append(EpisodeSummary(header, 0, 0, None, finished.wall_s))
        else:
            summaries.append(_summary(finished.result, None, finished.wall_s))
    return EvaluationSummary(tuple(summaries))


def _request(job: EvaluationJob, seed: int) -> EpisodeRequest:
    return EpisodeRequest(
        task=job.task,
        seed=seed,
        split=job.split,
        rng_seed=job.rng_seed,
        execute_steps=job.execute_steps,
        run_id=job.run_id,
        episode_id=f"{job.evaluation_id}-{seed}",
    )


def _summary(episode: Episode, path: Path | None, wall_s: float) -> EpisodeSummary:
    helped_steps = int((episode.frames.source != Source.POLICY).sum())
    return EpisodeSummary(episode.header, len(episode.frames), helped_steps, path, wall_s)


def _fault_header(
    request: EpisodeRequest, spec: RobotSpec, policy: Policy, fault: RobotFaultError
) -> EpisodeHeader:
    return EpisodeHeader(
        run_id=request.run_id,
        episode_id=request.episode_id,
        robot=spec.name,
        robot_index=request.robot_index,
        station=dict(spec.station),
        task=request.task,
        split=request.split,
        seed=request.seed,
        instruction="",
        policy_version=policy.version.number,
        policy_hash=policy.version.content_hash,
        control_hz=spec.control_hz,
        started_s=request.started_s,
        outcome=Outcome.FAILURE,
        reason=f"robot fault: {fault}",
    )


def _only_trainable_pixels(episode: Episode, algorithm: Algorithm | None) -> Episode:
    if algorithm is None:
        return episode
    wanted = np.zeros(len(episode.frames), bool)
    wanted[algorithm.select(episode).steps] = True
    images = {
        camera: [png if keep else None for png, keep in zip(pngs, wanted, strict=True)]
        for camera, pngs in episode.images_png.items()
    }
    return replace(episode, images_png=images)

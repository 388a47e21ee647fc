"""`run_episode`, and the `Rollout` that it runs: the only place that steps a robot.

An episode is a pure function of the station, the task, the scene seed, the policy version, the supervisor
and a random generator: run in any process, in any order, it gives the same frames.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sop_bench.episode import Episode, EpisodeHeader, Frames, Source, encode_png
from sop_bench.policy.base import Policy, execution_horizon
from sop_bench.robot import Observation, Outcome, Robot, Split
from sop_bench.safety import SafetyGate
from sop_bench.supervision.base import NoSupervisor, Supervisor

Pixels = Literal["all", "helped", "none"]


@dataclass(frozen=True)
class EpisodeRequest:
    """Which episode to run, and under what name it is kept.

    Attributes:
        task, seed, split: The scene.
        rng_seed: Seeds everything that is random in the episode besides the scene.
        execute_steps: Steps of each chunk that are executed before the policy is asked again; ``None`` for
            as many as the policy says (`execution_horizon`).
        pixels: Record images at every frame, at those under the supervisor's control, or at none.
        cameras: Which cameras are recorded; ``None`` for those the policy reads.
        told: What the policy is told, whatever the robot says, e.g. to see whether it listens; nothing
            else if empty. It leaves no trace in the episode.
        started_s: Fleet clock at the first frame, seconds since the run began.
    """

    task: str
    seed: int
    split: Split = "train"
    rng_seed: int = 0
    execute_steps: int | None = None
    pixels: Pixels = "none"
    cameras: tuple[str, ...] | None = None
    told: str = ""
    run_id: str = "adhoc"
    episode_id: str = "episode"
    robot_index: int = 0
    started_s: float = 0.0


def run_episode(
    robot: Robot,
    policy: Policy,
    request: EpisodeRequest,
    supervisor: Supervisor | None = None,
    *,
    wall_clock: Callable[[], float] = time.time,
) -> Episode:
    """Run one episode from reset to outcome and return it whole.

    Args:
        wall_clock: Source of the `wall_s` column, the one thing in an episode that the machine decides.

    Raises:
        ConfigurationError: The robot does not know the task.
        ContractError: The policy or the supervisor asked for something that is not finite.
    """
    rollout = Rollout(robot, policy, request, supervisor, wall_clock=wall_clock)
    while rollout.asks is not None:
        rollout.answer(policy.act(rollout.asks, rollout.rng))
    return rollout.episode


class Rollout:
    """An episode under way: it runs until its policy must be asked, and goes on with the answer::

        rollout = Rollout(robot, policy, request)
        while rollout.asks is not None:
            rollout.answer(policy.act(rollout.asks, rollout.rng))
        episode = rollout.episode

    So whoever runs several can ask for all of them at once (`sop_bench.lockstep`). Arguments and errors as
    for `run_episode`; the policy is not asked here.

    Attributes:
        asks: What the policy is to be asked about; None once the episode has ended.
        rng: Random numbers of the episode, for the policy too.
        episode: The whole, once it has ended.
    """

    episode: Episode

    def __init__(
        self,
        robot: Robot,
        policy: Policy,
        request: EpisodeRequest,
        supervisor: Supervisor | None = None,
        *,
        wall_clock: Callable[[], float] = time.time,
    ):
        self.rng = np.random.default_rng([request.rng_seed, request.seed])
        self._course = self._run(robot, policy, request, supervisor or NoSupervisor(), wall_clock)
        self.asks: Observation | None = next(self._course, None)

    def answer(self, chunk_rad: NDArray[np.float32]) -> None:
        """Execute the first steps of the policy's chunk, and whatever else comes before it is asked again."""
        try:
            self.asks = self._course.send(chunk_rad)
        except StopIteration:
            self.asks = None

    def _run(
        self,
        robot: Robot,
        policy: Policy,
        request: EpisodeRequest,
        supervisor: Supervisor,
        wall_clock: Callable[[], float],
    ) -> Generator[Observation, NDArray[np.float32], None]:
        gate = SafetyGate(robot.spec)
        recorder = _Recorder(policy, request, robot.spec.control_hz, wall_clock)
        observation = robot.reset(request.task, request.seed, split=request.split)
        header = _header(robot, policy, request, observation)
        supervisor.begin(robot, request.task, self.rng)
        execute_steps = request.execute_steps or execution_horizon(policy, observation.instruction)
        plan: deque[NDArray[np.float32]] = deque()
        outcome, reason = Outcome.RUNNING, ""
        while outcome is Outcome.RUNNING:
            decision = supervisor.decide(observation, recorder.elapsed_s)
            if decision.action_rad is not None:
                source, requested = supervisor.source, decision.action_rad
                plan.clear()  # after hand-back the policy plans from the state it finds, not from an old plan
            else:
                source = Source.POLICY
                if not plan:
                    chunk_rad = yield replace(
                        observation, instruction=request.told or observation.instruction
                    )
                    plan.extend(chunk_rad[:execute_steps])
                requested = plan.popleft()
            recorder.before(observation, helped=source is not Source.POLICY)
            step = robot.step(gate(requested, observation.commanded_rad))
            recorder.after(source, requested, step.executed_rad, decision.takeover, decision.attending)
            observation, outcome, reason = step.observation, step.outcome, step.reason
        self.episode = recorder.episode(replace(header, outcome=outcome, reason=reason))


def _header(robot: Robot, policy: Policy, request: EpisodeRequest, first: Observation) -> EpisodeHeader:
    spec = robot.spec
    return EpisodeHeader(
        run_id=request.run_id,
        episode_id=request.episode_id,
        robot=spec.name,
        robot_index=request.robot_index,
        station=dict(spec.station),
        task=request.task,
        split=request.split,
        seed=request.seed,
        instruction=first.instruction,
        policy_version=policy.version.number,
        policy_hash=policy.version.content_hash,
        control_hz=spec.control_hz,
        started_s=request.started_s,
    )


class _Recorder:
    """Collects the columns of an episode while it runs."""

    def __init__(
        self, policy: Policy, request: EpisodeRequest, control_hz: float, wall_clock: Callable[[], float]
    ):
        self._version = policy.version.number
        cameras = policy.cameras if request.cameras is None else request.cameras
        self._started_s, self._control_hz, self._wall_clock = request.started_s, control_hz, wall_clock
        self._columns: dict[str, list] = {name: [] for name in Frames.__dataclass_fields__}
        self._pixels = request.pixels
        self._images: dict[str, list[bytes | None]] = {
            camera: [] for camera in cameras if request.pixels != "none"
        }
        self._takeovers: list[str] = []
        self._attended_steps = 0

    @property
    def elapsed_s(self) -> float:
        return len(self._columns["step"]) / self._control_hz

    def before(self, observation: Observation, *, helped: bool) -> None:
        columns = self._columns
        columns["monotonic_s"].append(self._started_s + self.elapsed_s)
        columns["wall_s"].append(self._wall_clock())
        columns["step"].append(len(columns["step"]))
        columns["policy_version"].append(self._version)
        columns["state"].append(observation.proprioception)
        columns["commanded_rad"].append(observation.commanded_rad)
        wanted = helped or self._pixels == "all"
        for camera, images in self._images.items():
            # A simulated camera renders when it is read: a frame that is not kept costs nothing.
            images.append(encode_png(observation.images[camera]) if wanted else None)

    def after(
        self,
        source: Source,
        requested_rad: NDArray[np.float32],
        executed_rad: NDArray[np.float32],
        takeover: str,
        attending: bool,
    ) -> None:
        columns = self._columns
        last = columns["source"][-1] if columns["source"] else source
        segment = columns["segment_id"][-1] if columns["segment_id"] else 0
        columns["segment_id"].append(segment + int(source != last))
        columns["source"].append(source)
        columns["requested_rad"].append(requested_rad)
        columns["executed_rad"].append(executed_rad)
        self._attended_steps += attending
        if takeover:
            self._takeovers.append(takeover)

    def episode(self, header: EpisodeHeader) -> Episode:
        columns = self._columns
        frames = Frames(
            step=np.asarray(columns["step"], np.int32),
            policy_version=np.asarray(columns["policy_version"], np.int32),
            source=np.asarray(columns["source"], np.int8),
            segment_id=np.asarray(columns["segment_id"], np.int32),
            state=np.asarray(columns["state"], np.float32),
            commanded_rad=np.asarray(columns["commanded_rad"], np.float32),
            requested_rad=np.asarray(columns["requested_rad"], np.float32),
            executed_rad=np.asarray(columns["executed_rad"], np.float32),
            monotonic_s=np.asarray(columns["monotonic_s"], np.float64),
            wall_s=np.asarray(columns["wall_s"], np.float64),
        )
        helped = int((frames.source != Source.POLICY).sum())
        header = replace(
            header,
            takeovers=tuple(self._takeovers),
            intervention_s=helped / self._control_hz,
            operator_s=self._attended_steps / self._control_hz,
        )
        return Episode(header, frames, self._images)

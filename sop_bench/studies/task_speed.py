"""How fast a task runs on one core: simulated seconds for each second of the processor, in four loops.

The expert without pictures, the expert with every camera rendered as often as a policy would look, a policy
in the loop of one robot, and a policy that several robots ask together, as evaluations do. CPU time of one
process, so that neighbours disturb little; it still depends on the machine.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import RobotFaultError
from sop_bench.fleet.engine import Engine
from sop_bench.fleet.lanes import LANES
from sop_bench.fleet.warm import policy_for, retire_robot, robot_for
from sop_bench.lockstep import Lane, run_in_lockstep
from sop_bench.policy.base import Policy, RandomPolicy, execution_horizon
from sop_bench.robot import Observation, Robot, RobotSpec
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.studies.actors import ExpertPolicy
from sop_bench.studies.evaluation import trained_tasks
from sop_bench.studies.stopwatch import Stopwatch, TimedPolicy, TimedRobot

SHIPPED_GENERALIST = Path(__file__).resolve().parents[1] / "checkpoints" / "generalist.safetensors"

BARE, PICTURES, POLICY_LOOP, TOGETHER = "expert", "expert with pictures", "policy", "policy, eight together"
LOOPS = (BARE, PICTURES, POLICY_LOOP, TOGETHER)
EPISODES = 5
EPISODES_TOGETHER = 3 * LANES


@dataclass(frozen=True)
class LoopSpeed:
    """How fast one loop runs.

    Attributes:
        real_time_factor: Simulated seconds for each second of CPU time; median over whole episodes, and of
            robots together the quotient of the sums.
        episodes: How many.
        shares: Of the CPU time, by part: ``physics`` is `Robot.step` and ``policy`` is `Policy.act`, both
            without ``rendering``; ``other`` holds resets.
    """

    real_time_factor: float
    episodes: int
    shares: Mapping[str, float]


@dataclass(frozen=True)
class TaskSpeed:
    """How fast one task runs.

    Attributes:
        loops: By name, of `LOOPS`; those that were not measured are missing.
    """

    loops: Mapping[str, LoopSpeed]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {loop: asdict(speed) for loop, speed in self.loops.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TaskSpeed:
        """Raises `TypeError` for what `as_dict` did not make."""
        return cls({loop: LoopSpeed(**speed) for loop, speed in data.items()})


def shipped_policy(task: str, spec: RobotSpec) -> Path | None:
    """The shipped generalist, if it was made for the task and for joints such as these."""
    if not SHIPPED_GENERALIST.exists() or task not in trained_tasks(SHIPPED_GENERALIST):
        return None
    from sop_bench.policy.checkpoint import load_checkpoint  # brings in torch

    fits = load_checkpoint(SHIPPED_GENERALIST).policy.config.joint_names == spec.joint_names
    return SHIPPED_GENERALIST if fits else None


def policy_to_time(task: str, spec: RobotSpec, checkpoint: Path | None) -> Path | None:
    """`checkpoint`, or without one `shipped_policy`; loaded, so that what cannot be used is refused at once.

    Raises:
        ConfigurationError: There is no such checkpoint.
        CorruptDataError: It is damaged.
    """
    chosen = checkpoint or shipped_policy(task, spec)
    if chosen is not None:
        policy_for(chosen)
    return chosen


def measure_speed(
    robot_name: str,
    station_seed: int,
    requests: Sequence[EpisodeRequest],
    checkpoint: Path | None,
    engine: Engine,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> TaskSpeed:
    """Run every loop on `requests`, those of the policy only if there is a checkpoint.

    Args:
        requests: All of them for robots together, else the first `EPISODES`.
        on_progress: Told how many loops are done and wanted.
    """
    wanted = LOOPS if checkpoint is not None else (BARE, PICTURES)
    found: dict[str, LoopSpeed] = {}
    for done, loop in enumerate(wanted, start=1):
        # One at a time: cores share their memory, and a busy one slows down the others.
        if loop == TOGETHER:
            speed = engine.submit(measure_together, robot_name, station_seed, requests, checkpoint).result()
        else:
            some = requests[:EPISODES]
            speed = engine.submit(measure_loop, loop, robot_name, station_seed, some, checkpoint).result()
        if speed is not None:
            found[loop] = speed
        on_progress(done, len(wanted))
    return TaskSpeed(found)


def measure_loop(
    loop: str, robot_name: str, station_seed: int, requests: Sequence[EpisodeRequest], checkpoint: Path | None
) -> LoopSpeed | None:
    """Run `requests` in one of `LOOPS`; ``None`` if every episode ended in a fault.

    The first is run once more before, unmeasured: it makes models, contexts and caches.
    """
    factors: list[float] = []
    spent_s: dict[str, float] = {}
    for place, request in enumerate([requests[0], *requests]):
        stopwatch = Stopwatch()
        robot = TimedRobot(robot_for(robot_name, station_seed), stopwatch)
        policy = _policy(loop, robot, checkpoint)
        try:
            # A shipped policy holds torch to one thread in each act, whatever the process is set to.
            episode = run_episode(robot, TimedPolicy(policy, stopwatch), request)
        except RobotFaultError:
            retire_robot(robot_name, station_seed)
            continue
        if place > 0:
            factors.append(episode.duration_s / stopwatch.total_s())
            spent_s = {part: spent_s.get(part, 0.0) + more_s for part, more_s in stopwatch.spent_s.items()}
    return _speed(statistics.median(factors), len(factors), spent_s) if factors else None


def measure_together(
    robot_name: str, station_seed: int, requests: Sequence[EpisodeRequest], checkpoint: Path
) -> LoopSpeed | None:
    """Run `requests` in lanes at one station; ``None`` if every episode ended in a fault.

    A real station there is but once: one lane. Some are run once more before, unmeasured: they make models,
    contexts and caches.
    """
    copies = 1 if robot_for(robot_name, station_seed).spec.real else LANES
    simulated_s: list[float] = []
    stopwatch = Stopwatch()
    for some in (requests[:LANES], requests):
        stopwatch, simulated_s, waiting = Stopwatch(), [], iter(some)

        def robot(copy: int, stopwatch: Stopwatch = stopwatch) -> Robot:
            return TimedRobot(robot_for(robot_name, station_seed, copy), stopwatch)

        lanes = [Lane(partial(robot, copy), waiting) for copy in range(copies)]
        for finished in run_in_lockstep(TimedPolicy(policy_for(checkpoint), stopwatch), lanes):
            if isinstance(finished.result, RobotFaultError):
                retire_robot(robot_name, station_seed, finished.lane)
            else:
                simulated_s.append(finished.result.duration_s)
    if not simulated_s:
        return None
    return _speed(sum(simulated_s) / stopwatch.total_s(), len(simulated_s), stopwatch.spent_s)


def _speed(factor: float, episodes: int, spent_s: Mapping[str, float]) -> LoopSpeed:
    total_s = sum(spent_s.values())
    shares = {part: round(part_s / total_s, 3) for part, part_s in spent_s.items()}
    return LoopSpeed(round(factor, 2), episodes, shares)


def _policy(loop: str, robot: Robot, checkpoint: Path | None) -> Policy:
    policy = RandomPolicy(robot.spec) if checkpoint is None else policy_for(checkpoint)
    if loop == POLICY_LOOP:
        return policy
    return _LookingExpert(robot, policy) if loop == PICTURES else ExpertPolicy(robot)


class _LookingExpert(ExpertPolicy):
    """Reads every camera for nothing, as often as `policy` would be asked."""

    def __init__(self, robot: Robot, policy: Policy) -> None:
        super().__init__(robot)
        self._policy = policy
        self._cameras = tuple(camera.name for camera in robot.spec.cameras)
        self._acts = 0

    def act(self, observation: Observation, rng: np.random.Generator) -> NDArray[np.float32]:
        if self._acts % execution_horizon(self._policy, observation.instruction) == 0:
            for camera in self._cameras:
                _ = observation.images[camera]
        self._acts += 1
        return super().act(observation, rng)

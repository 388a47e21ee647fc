"""Whether physics holds: random policies on all tasks, with every robot looking into its own simulator.

An episode is a pure function of task and index: the index decides station, policy and split, and with the
task the scene. So a run can be stopped, continued and extended, and any episode can be watched again.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sop_bench.errors import ConfigurationError, RobotFaultError, unknown_name
from sop_bench.fleet.allocation import apportion
from sop_bench.fleet.engine import Engine
from sop_bench.fleet.journal import Journal
from sop_bench.fleet.warm import retire_robot, robot_for
from sop_bench.health import Bound, HasHealth
from sop_bench.robot import Outcome, Robot, Split, Step, make_robot
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.studies import health_records
from sop_bench.studies.actors import ABRUPT, RANDOM, SMOOTH, actor, execute_steps
from sop_bench.studies.health_records import FAULT, EpisodeHealth, HealthSummary, Scene
from sop_bench.studies.running import work_folder
from sop_bench.studies.task_rates import task_version
from sop_bench.studies.watched import WatchedRobot

HEALTH_SEED = 50_000_000  # scenes of no other use: demonstrations and evaluations have lower seeds
POLICIES = (RANDOM, SMOOTH, ABRUPT)
SPLITS: tuple[Split, ...] = ("train", "test")
CUT = "cut"
_AHEAD = 64  # episodes that are submitted and not yet done


@dataclass(frozen=True)
class HealthConfig:
    """What to run.

    Attributes:
        episodes: Of all tasks together; each task gets its share, at least one.
        weights: (task, weight) of those whose share is not that of weight 1.
        seconds: Episodes are cut after this many simulated seconds; ``None`` for the tasks' own limits.
        station_seeds: Stations, taken in turn.
    """

    tasks: tuple[str, ...]
    robot: str = "so101"
    episodes: int = 10_000
    weights: tuple[tuple[str, float], ...] = ()
    seconds: float | None = None
    station_seeds: tuple[int, ...] = tuple(range(9))
    first_seed: int = HEALTH_SEED

    def __post_init__(self) -> None:
        for task, weight in self.weights:
            if task not in self.tasks:
                raise unknown_name("task", task, self.tasks)
            if weight <= 0:
                raise ConfigurationError(
                    f"Weight {weight:g} of {task} is not possible; allowed: above 0. Leave a task out by "
                    f"naming the others with --tasks."
                )

    def shares(self) -> dict[str, int]:
        """Episodes of each task."""
        weights = dict(self.weights)
        counts = apportion(
            max(self.episodes, len(self.tasks)), [weights.get(task, 1.0) for task in self.tasks]
        )
        return dict(zip(self.tasks, counts, strict=True))


def scene(config: HealthConfig, task: str, index: int) -> Scene:
    """Episode `index` of a task: stations change fastest, then policies, then splits, so all pairs occur."""
    stations = len(config.station_seeds)
    first = config.first_seed + 1_000_000 * (zlib.crc32(task.encode()) % 900)  # tasks share no arm motion
    return Scene(
        task,
        index,
        first + index,
        SPLITS[index // (stations * len(POLICIES)) % len(SPLITS)],
        config.station_seeds[index % stations],
        POLICIES[index // stations % len(POLICIES)],
    )


def check_health(
    config: HealthConfig,
    directory: Path,
    engine: Engine,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    fresh: bool = False,
) -> HealthSummary:
    """Run all episodes that `directory` does not hold yet, and write the records of all.

    When interrupted, the records of what is done are written, and say that they are not all.

    Args:
        on_progress: Told how many episodes are done and wanted.

    Raises:
        ConfigurationError: Unknown robot or task, a robot without `HasHealth`, or a folder of another run.
    """
    bounds, versions = _about(config)
    identity = {
        "robot": config.robot,
        "seconds": config.seconds,
        "station_seeds": list(config.station_seeds),
        "first_seed": config.first_seed,
        "task_versions": versions,
        "mujoco": version("mujoco"),
    }
    shares = config.shares()
    wanted = [scene(config, task, index) for task, index in _in_turn(shares)]
    done: list[EpisodeHealth] = []
    work = work_folder(directory, fresh)
    resumed = (work / "journal.jsonl").exists()
    with Journal(work, identity) as journal:
        sitting = health_records.begin(directory, config, resumed=resumed)
        try:
            for episode in _run(config, wanted, journal, engine):
                done.append(episode)
                on_progress(len(done), len(wanted))
        finally:
            summary = health_records.write(directory, sitting, done, shares, bounds, versions)
    return summary


def _about(config: HealthConfig) -> tuple[Mapping[str, Bound], dict[str, str]]:
    with make_robot(config.robot) as robot:
        for task in config.tasks:
            if task not in robot.spec.tasks:
                raise unknown_name("task", task, robot.spec.tasks)
        return _looked_into(robot).health_bounds(), {
            task: task_version(robot.spec, task) for task in robot.spec.tasks
        }


def _looked_into(robot: Robot) -> HasHealth:
    if isinstance(robot, HasHealth):
        return robot
    raise ConfigurationError(
        f"Robot {robot.spec.name!r} cannot look into its physics; allowed: robots that implement HasHealth "
        f"(sop_bench.health), such as so101. Give another --adapter."
    )


def _in_turn(shares: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """All (task, index), such that every task is about as far as the others at any time."""
    places = [
        ((index + 0.5) / count, place, task, index)
        for place, (task, count) in enumerate(shares.items())
        for index in range(count)
    ]
    return ((task, index) for _, _, task, index in sorted(places))


def _run(
    config: HealthConfig, wanted: Sequence[Scene], journal: Journal, engine: Engine
) -> Iterator[EpisodeHealth]:
    waiting: deque[Future[EpisodeHealth]] = deque()
    for one in wanted:
        waiting.append(
            journal.future(
                f"{one.task}/{one.index}",
                EpisodeHealth.from_json,
                lambda one=one: engine.submit(examine, config, one),
            )
        )
        while waiting and (len(waiting) >= _AHEAD or waiting[0].done()):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def examine(config: HealthConfig, which: Scene) -> EpisodeHealth:
    """Run one episode and report how its physics did."""
    robot = robot_for(config.robot, which.station_seed)
    looked_into, started_s = _looked_into(robot), time.process_time()
    counted = _CutRobot(robot, config.seconds)
    looked_into.watch_health(True)
    try:
        request = EpisodeRequest(
            which.task,
            which.seed,
            which.split,
            execute_steps=execute_steps(which.policy),
            run_id="health",
            episode_id=f"health-{which.seed}",
        )
        header = run_episode(counted, actor(which.policy, robot), request).header
        outcome, reason = str(header.outcome), header.reason
    except RobotFaultError:
        outcome, reason = str(Outcome.FAILURE), FAULT
        retire_robot(config.robot, which.station_seed)
    finally:
        looked_into.watch_health(False)
    health = looked_into.health()
    return EpisodeHealth(
        which,
        counted.steps,
        outcome,
        reason,
        health.finite,
        dict(health.warnings),
        dict(health.worst),
        round(time.process_time() - started_s, 4),
    )


@dataclass
class _CutRobot(WatchedRobot):
    """Counts steps, and ends an episode as timed out after `seconds`."""

    seconds: float | None = None
    steps: int = 0

    def step(self, action_rad: Any) -> Step:
        step = super().step(action_rad)
        self.steps += 1
        late = self.seconds is not None and self.steps >= round(self.seconds * self.spec.control_hz)
        if late and step.outcome is Outcome.RUNNING:
            return replace(step, outcome=Outcome.TIMEOUT, reason=CUT)
        return step

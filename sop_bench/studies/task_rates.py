"""The measured half of a task's card: how often expert and chance solve it, what the expert saves, how fast.

All act on the same unseen instances, at stations taken in turn; speed is measured at one. A record says what
was measured, of which version of the task, and what made it, on which machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from sop_bench.errors import CorruptDataError, RobotFaultError, unknown_name
from sop_bench.fleet.engine import Engine
from sop_bench.fleet.warm import retire_robot, robot_for
from sop_bench.robot import Outcome, RobotSpec, Split, make_robot
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.studies.actors import EXPERT, RANDOM, actor
from sop_bench.studies.evaluation import EVALUATION_SEED
from sop_bench.studies.film import Film, FilmedRobot, contact_sheet
from sop_bench.studies.manifest import describe_run, finished, read_json, write_json
from sop_bench.studies.stats import Interval, wilson
from sop_bench.studies.takeovers import FAULT, TakeoverRate, attempt_takeover, summary
from sop_bench.studies.task_speed import EPISODES_TOGETHER, TaskSpeed, measure_speed, policy_to_time

T = TypeVar("T")
RECORDS = Path("results/tasks")
ACTORS = (EXPERT, RANDOM)
_ONE_STATION = 1  # of the picture and of the speed: not the nominal one


@dataclass(frozen=True)
class RatesConfig:
    """What to measure on.

    Attributes:
        robot, task: Registered robot name, and one of its tasks.
        episodes: Of the expert, of chance and of takeovers; each episode of these has its own instance.
        split: ``"test"`` for instances that training never shows.
        station_seeds: Stations, taken in turn by instance.
        first_seed: Instances are numbered from here.
    """

    task: str
    robot: str = "so101"
    episodes: int = 200
    split: Split = "test"
    station_seeds: tuple[int, ...] = tuple(range(9))
    first_seed: int = EVALUATION_SEED


@dataclass(frozen=True)
class ActorRate:
    """How one actor did.

    Attributes:
        mean_success_s: Mean duration of its successes, seconds; ``None`` without any.
        reasons: How often its episodes ended for each reason, most frequent first.
    """

    successes: int
    episodes: int
    mean_success_s: float | None
    reasons: Mapping[str, int]

    @property
    def rate(self) -> Interval:
        """Success rate with its 95 % Wilson interval."""
        return wilson(self.successes, self.episodes)


@dataclass(frozen=True)
class TaskRates:
    """What was measured of one task.

    Attributes:
        takeover, speed: ``None`` in records from before these were measured.
        cpu: The processor that `speed` is about.
    """

    config: RatesConfig
    task_version: str
    expert: ActorRate
    random: ActorRate
    takeover: TakeoverRate | None = None
    speed: TaskSpeed | None = None
    cpu: str = ""


def task_version(spec: RobotSpec, task: str) -> str:
    """The version of a task, as far as the robot tells; results of different versions do not compare."""
    return str(spec.station.get(f"task_version.{task}", ""))


def measure(
    config: RatesConfig,
    directory: Path,
    engine: Engine,
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    checkpoint: Path | None = None,
) -> TaskRates:
    """Measure one task, and write its record and the picture of an expert episode into `directory`.

    Args:
        on_progress: Told the task with what is measured, and how many episodes or loops are done and wanted.
        checkpoint: The policy that is timed; ``None`` for the shipped generalist, if it knows the task.

    Raises:
        ConfigurationError: Unknown robot or task, the robot has no expert, or there is no such checkpoint.
        CorruptDataError: The checkpoint is damaged.
    """
    with make_robot(config.robot) as robot:
        if config.task not in robot.spec.tasks:
            raise unknown_name("task", config.task, robot.spec.tasks)
        version = task_version(robot.spec, config.task)
        checkpoint = policy_to_time(config.task, robot.spec, checkpoint)
    run = describe_run("tasks", config, {"policy": checkpoint} if checkpoint else {})

    def told(what: str) -> Callable[[int, int], None]:
        return lambda done, total: on_progress(f"{config.task} {what}", done, total)

    expert, random = (
        _summary(_all([engine.submit(_try, config, name, i) for i in range(config.episodes)], told(name)))
        for name in ACTORS
    )
    takeovers = [
        engine.submit(attempt_takeover, config.robot, _station_seed(config, i), _request(config, i), i)
        for i in range(config.episodes)
    ]
    takeover = summary(_all(takeovers, told("takeover")))
    speed = timed(config, checkpoint, engine, told("speed"))
    film_expert(config, picture_file(directory, config.task))
    data = {
        "task": config.task,
        "task_version": version,
        **{
            name: {**asdict(rate), "rate": rate.rate.as_dict()}
            for name, rate in ((EXPERT, expert), (RANDOM, random))
        },
        "takeover": takeover.as_dict(),
        "speed": speed.as_dict(),
        "manifest": finished(run),
    }
    write_json(record_file(directory, config.task), data)
    return TaskRates(config, version, expert, random, takeover, speed, run["machine"]["cpu"])


def timed(
    config: RatesConfig, checkpoint: Path | None, engine: Engine, on_progress: Callable[[int, int], None]
) -> TaskSpeed:
    """How fast the first instances run, with the policy of `checkpoint` in the loop if there is one."""
    requests = [_request(config, index) for index in range(EPISODES_TOGETHER)]
    return measure_speed(config.robot, _ONE_STATION, requests, checkpoint, engine, on_progress)


def _all(futures: Sequence[Future[T]], on_progress: Callable[[int, int], None]) -> list[T]:
    results: list[T] = []
    try:
        for future in futures:
            results.append(future.result())
            on_progress(len(results), len(futures))
    finally:
        for future in futures:
            future.cancel()
    return results


@dataclass(frozen=True)
class _Attempt:
    success: bool
    reason: str
    duration_s: float


def _summary(attempts: Sequence[_Attempt]) -> ActorRate:
    solved_s = [attempt.duration_s for attempt in attempts if attempt.success]
    mean_s = round(sum(solved_s) / len(solved_s), 2) if solved_s else None
    reasons = Counter(attempt.reason for attempt in attempts)
    return ActorRate(len(solved_s), len(attempts), mean_s, dict(reasons.most_common()))


def _request(config: RatesConfig, index: int) -> EpisodeRequest:
    seed = config.first_seed + index
    return EpisodeRequest(config.task, seed, config.split, run_id="tasks", episode_id=f"tasks-{seed}")


def _station_seed(config: RatesConfig, index: int) -> int:
    return config.station_seeds[index % len(config.station_seeds)]


def _try(config: RatesConfig, name: str, index: int) -> _Attempt:
    """Episode `index` of one actor."""
    station_seed = _station_seed(config, index)
    robot = robot_for(config.robot, station_seed)
    try:
        episode = run_episode(robot, actor(name, robot), _request(config, index))
    except RobotFaultError:
        retire_robot(config.robot, station_seed)
        return _Attempt(False, FAULT, 0.0)
    header = episode.header
    return _Attempt(header.outcome is Outcome.SUCCESS, header.reason, episode.duration_s)


def film_expert(config: RatesConfig, path: Path) -> Path:
    """A contact sheet of the expert on the first instance."""
    robot = FilmedRobot(robot_for(config.robot, _ONE_STATION))
    episode = run_episode(robot, actor(EXPERT, robot), _request(config, 0))
    return contact_sheet([Film(episode.header, robot.pictures)], path)


# -------------------------------------------------------------------------------------------- records


def record_file(directory: Path, task: str) -> Path:
    return directory / f"{task.replace('/', '-')}.json"


def picture_file(directory: Path, task: str) -> Path:
    return directory / f"{task.replace('/', '-')}.png"


def load_rates(directory: Path, task: str) -> TaskRates | None:
    """What was measured of `task`, or ``None`` if nothing was.

    Raises:
        CorruptDataError: The record is damaged.
    """
    path = record_file(directory, task)
    if not path.exists():
        return None
    data = read_json(path)
    try:
        config = dict(data["manifest"]["config"])
        config["station_seeds"] = tuple(config["station_seeds"])
        return TaskRates(
            RatesConfig(**config),
            data["task_version"],
            _rate(data[EXPERT]),
            _rate(data[RANDOM]),
            TakeoverRate.from_dict(data["takeover"]) if "takeover" in data else None,
            TaskSpeed.from_dict(data["speed"]) if "speed" in data else None,
            data.get("speed_manifest", data["manifest"]).get("machine", {}).get("cpu", ""),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise CorruptDataError(
            f"{path} is no record of a task ({type(error).__name__}: {error}). Restore it, or measure again: "
            f"sop-bench tasks {task} --measure 200"
        ) from error


def _rate(data: Mapping[str, Any]) -> ActorRate:
    return ActorRate(**{name: data[name] for name in ActorRate.__dataclass_fields__})

"""Collecting demonstrations: the offline data that pretraining and post-training start from.

Episode `i` of a collection is a pure function of the configuration and `i`, so a collection that was
interrupted goes on where it stopped, and the same configuration gives the same files whatever the workers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sop_bench.episode import EpisodeHeader, load_episode, save_episode
from sop_bench.errors import ConfigurationError, CorruptDataError, unknown_name
from sop_bench.fleet.engine import Engine
from sop_bench.fleet.warm import robot_for
from sop_bench.robot import Split, make_robot
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.supervision.demonstrator import DemonstratorConfig, PushingPolicy

COLLECTION_FILE = "demonstrations.json"  # says what a folder of demonstrations holds
_SEED_STRIDE = 1_000_000  # scene seeds of different collections never meet


@dataclass(frozen=True)
class DemonstrationConfig:
    """What to demonstrate, and how much.

    Attributes:
        robot: Registered robot name.
        tasks: Demonstrated in turn, episode by episode.
        station_seeds: The stations, taken in turn.
        robot_hours: Stop when the kept demonstrations last this long (time at the robot, resets excluded).
        seed: Draws scenes and demonstrators; other seeds give other scenes.
        cameras: Cameras to record; empty for all.
        demonstrator: How the demonstrations vary.
    """

    robot: str = "so101"
    tasks: tuple[str, ...] = ("restock/flat-shelf",)
    station_seeds: tuple[int, ...] = (1, 2, 3, 4)
    robot_hours: float = 0.05
    seed: int = 0
    split: Split = "train"
    cameras: tuple[str, ...] = ("front", "wrist_right")
    demonstrator: DemonstratorConfig = field(default_factory=DemonstratorConfig)


@dataclass(frozen=True)
class DemonstrationProgress:
    """What a progress bar needs: kept demonstrations and their hours, and attempts that failed."""

    kept: int
    failed: int
    robot_hours: float

    def __add__(self, other: DemonstrationProgress) -> DemonstrationProgress:
        hours = self.robot_hours + other.robot_hours
        return DemonstrationProgress(self.kept + other.kept, self.failed + other.failed, hours)


@dataclass(frozen=True)
class _Attempt:
    header: EpisodeHeader
    duration_s: float


def collect_demonstrations(
    config: DemonstrationConfig,
    directory: Path,
    engine: Engine,
    on_progress: Callable[[DemonstrationProgress], None] = lambda progress: None,
    lookahead: int = 8,
) -> DemonstrationProgress:
    """Fill `directory` with successful demonstrations, one Parquet file each, until there are enough hours.

    Failed attempts are counted and not kept. Files already in `directory` are used, not made again.

    Raises:
        ConfigurationError: Unknown robot or task, or `directory` holds another collection.
    """
    _check(config)
    _claim(config, directory)
    kept = failed = 0
    hours = 0.0
    for attempt in _attempts(config, directory, engine, lookahead):
        if attempt.header.success:
            kept, hours = kept + 1, hours + attempt.duration_s / 3600
        else:
            failed += 1
        on_progress(DemonstrationProgress(kept, failed, hours))
        if hours >= config.robot_hours:
            break
        if failed > 20 and failed > 3 * kept:
            raise ConfigurationError(
                f"{failed} of {failed + kept} demonstrations failed; allowed: fewer than three quarters. "
                f"Check the expert of {config.robot!r}, or demonstrate with less noise."
            )
    return DemonstrationProgress(kept, failed, hours)


def demonstration_files(directory: Path) -> list[Path]:
    """The kept demonstrations of a collection, or of all collections of a mixture, in order.

    Raises:
        ConfigurationError: There are none.
    """
    files = sorted(directory.rglob("demo-*.parquet"))
    if not files:
        raise ConfigurationError(
            f"No demonstrations in {directory}; expected files demo-*.parquet. Make some with "
            f"`sop-bench demos --output {directory}`."
        )
    return files


def _check(config: DemonstrationConfig) -> None:
    with make_robot(config.robot, station_seed=config.station_seeds[0]) as robot:
        for task in config.tasks:
            if task not in robot.spec.tasks:
                raise unknown_name("task", task, robot.spec.tasks)
        for camera in config.cameras:
            robot.spec.camera(camera)


def _claim(config: DemonstrationConfig, directory: Path) -> None:
    """Write the configuration, or check that the one already there allows going on."""
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.glob(f"*/{COLLECTION_FILE}")):
        raise ConfigurationError(
            f"{directory} holds a mixture: a collection for each of several tasks; allowed here: an empty "
            f"folder, or a single collection. Choose another folder, or one inside it."
        )
    path = directory / COLLECTION_FILE
    mine = json.loads(json.dumps(asdict(config)))
    if path.exists():
        theirs = json.loads(path.read_text())
        differing = [key for key in mine if key != "robot_hours" and mine[key] != theirs.get(key)]
        if differing:
            raise ConfigurationError(
                f"{directory} holds a collection with another {', '.join(differing)}. "
                f"Choose an empty folder, or repeat its settings to extend it."
            )
    path.write_text(json.dumps(mine, indent=2) + "\n")


def _attempts(
    config: DemonstrationConfig, directory: Path, engine: Engine, lookahead: int
) -> Iterator[_Attempt]:
    """Attempts in order, with `lookahead` of them under way; what is computed too far ahead is taken away."""
    pending: list[Future[_Attempt]] = []
    submitted = taken = 0
    try:
        while True:
            while len(pending) < lookahead:
                pending.append(engine.submit(demonstrate, config, submitted, directory))
                submitted += 1
            yield pending.pop(0).result()
            taken += 1
    finally:
        for ahead, future in enumerate(pending, start=taken + 1):
            if not future.cancel():
                future.exception()
            _file(directory, ahead).unlink(missing_ok=True)


def _file(directory: Path, index: int) -> Path:
    return directory / f"demo-{index:06d}.parquet"


def demonstrate(config: DemonstrationConfig, index: int, directory: Path) -> _Attempt:
    """Attempt number `index` of a collection; the file is kept if it succeeds."""
    path = _file(directory, index)
    try:
        earlier = load_episode(path)
        return _Attempt(earlier.header, earlier.duration_s)
    except CorruptDataError:
        path.unlink(missing_ok=True)
    robot = robot_for(config.robot, config.station_seeds[index % len(config.station_seeds)])
    task = config.tasks[index % len(config.tasks)]
    request = EpisodeRequest(
        task=task,
        seed=config.seed * _SEED_STRIDE + index,
        split=config.split,
        rng_seed=config.seed,
        pixels="all",
        cameras=config.cameras or tuple(camera.name for camera in robot.spec.cameras),
        run_id=f"demos-{config.seed}",
        # With the task: a learner takes each episode id once, and a mixture has several collections.
        episode_id=f"demos-{task.replace('/', '-')}-{config.seed}-{index:06d}",
    )
    episode = run_episode(robot, PushingPolicy(robot), request, config.demonstrator.build())
    if episode.header.success:
        save_episode(episode, path)
    return _Attempt(episode.header, episode.duration_s)

"""Evaluation: how often a checkpoint succeeds, alone, on scenes it has never seen.

Always ungated: a supervisor that over-fires says nothing about success. Each episode index is owned once, so
that 200 episodes are 200 distinct scenes, and the same scenes for every checkpoint, which pairs comparisons.
A generalist is evaluated task by task: a mean over tasks hides the one that it cannot do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sop_bench.episode import Episode
from sop_bench.errors import ConfigurationError, RobotFaultError, unknown_name
from sop_bench.fleet.engine import Engine
from sop_bench.fleet.lanes import Placed, run_at_stations
from sop_bench.fleet.warm import policy_for, robot_for
from sop_bench.lockstep import Finished, Lane, run_in_lockstep
from sop_bench.robot import Outcome, Split, make_robot
from sop_bench.rollout import EpisodeRequest
from sop_bench.studies.film import Film, FilmedRobot, contact_sheet, moving_sheet
from sop_bench.studies.stats import Interval, wilson

# Demonstrations have lower scene seeds, online episodes those from 10**9. Tune on others (those from
# 40_000_000 have served): settings chosen on the scenes of a report flatter it.
EVALUATION_SEED = 30_000_000
STATIONS = (1, 2, 3, 4)
_A_JOB = 20  # episodes; a progress bar moves by as many


@dataclass(frozen=True)
class EvaluationConfig:
    """What to evaluate on.

    Attributes:
        checkpoint: The policy file.
        station_seeds: Stations, taken in turn by scene.
        split: Product split; ``"test"`` names products the policy has never seen.
        first_seed: Scene seeds run from here, one per episode.
        execute_steps: Steps of a chunk executed before replanning; ``None`` for as many as the policy says.
        shuffle_instructions: Give every episode the instruction of another scene: a policy that
            listens must fall to chance.
    """

    checkpoint: Path
    robot: str = "so101"
    task: str = "restock/flat-shelf"
    episodes: int = 200
    split: Split = "test"
    station_seeds: tuple[int, ...] = STATIONS
    first_seed: int = EVALUATION_SEED
    execute_steps: int | None = None
    shuffle_instructions: bool = False


@dataclass(frozen=True)
class EvaluationReport:
    """One row per episode, and what follows from them.

    `rows` has the columns task, index, station_seed, seed, instruction, given_instruction, outcome, reason
    and duration_s.
    """

    config: EvaluationConfig
    rows: pd.DataFrame

    @property
    def successes(self) -> int:
        return int((self.rows["outcome"].to_numpy() == Outcome.SUCCESS).sum())

    @property
    def success(self) -> Interval:
        """Success rate with its 95 % Wilson interval."""
        return wilson(self.successes, len(self.rows))

    @property
    def robot_s(self) -> float:
        return float(self.rows["duration_s"].to_numpy().sum())

    @property
    def terminated_per_hour(self) -> float:
        """The paper's throughput: episodes of any outcome per hour, without resets."""
        return 3600 * len(self.rows) / self.robot_s

    @property
    def successes_per_hour(self) -> float:
        """RECAP's throughput: successful episodes per hour, without resets."""
        return 3600 * self.successes / self.robot_s

    def reasons(self, *, of_failures: bool = False) -> dict[str, int]:
        """How often episodes, or only those without success, ended for each reason, most frequent first."""
        failed = self.rows["outcome"].to_numpy() != Outcome.SUCCESS
        reasons = self.rows["reason"].to_numpy()[failed] if of_failures else self.rows["reason"].to_numpy()
        return {str(reason): count for reason, count in Counter(reasons.tolist()).most_common()}


def trained_tasks(checkpoint: Path) -> tuple[str, ...]:
    """The tasks that a checkpoint was pretrained for.

    Raises:
        ConfigurationError: There is no such checkpoint, or it does not say.
        CorruptDataError: It is damaged.
    """
    from sop_bench.policy.checkpoint import load_checkpoint

    facts = load_checkpoint(checkpoint).facts
    tasks = tuple(facts.get("tasks") or [facts[name] for name in ("task",) if name in facts])
    if not tasks:
        raise ConfigurationError(
            f"{checkpoint} does not say what it was trained for; allowed: checkpoints of `sop-bench "
            f"pretrain`, or any with tasks named. Name them with --task."
        )
    return tasks


def evaluate(
    config: EvaluationConfig,
    engine: Engine,
    on_progress: Callable[[int, int], None] = lambda done, successes: None,
) -> EvaluationReport:
    """Run all episodes of `config` on `engine`; `on_progress` is told episodes done and successes so far.

    Raises:
        ConfigurationError: Unknown robot or task, or no such checkpoint.
        CorruptDataError: The checkpoint is damaged.
    """
    with make_robot(config.robot, station_seed=config.station_seeds[0]) as robot:
        if config.task not in robot.spec.tasks:
            raise unknown_name("task", config.task, robot.spec.tasks)
    policy_for(config.checkpoint)  # fail here, in this process, if the file cannot be used
    indices = range(config.episodes)
    some = [tuple(indices[start : start + _A_JOB]) for start in range(0, len(indices), _A_JOB)]
    futures = [engine.submit(evaluate_some, config, those) for those in some]
    rows: list[dict[str, Any]] = []
    try:
        for future in futures:
            rows.extend(future.result())
            on_progress(len(rows), sum(row["outcome"] == Outcome.SUCCESS for row in rows))
    finally:
        for future in futures:
            future.cancel()
    return EvaluationReport(config, pd.DataFrame(rows))


def evaluate_some(config: EvaluationConfig, indices: tuple[int, ...]) -> list[dict[str, Any]]:
    """Rows `indices` of an evaluation.

    Raises:
        RobotFaultError: A robot failed.
    """
    placed = [_placed(config, index) for index in indices]
    ended = run_at_stations(config.robot, policy_for(config.checkpoint), placed)
    return [
        _row(index, station_seed, request, _whole(finished))
        for index, (station_seed, request), finished in zip(indices, placed, ended, strict=True)
    ]


def _row(index: int, station_seed: int, request: EpisodeRequest, episode: Episode) -> dict[str, Any]:
    header = episode.header
    return {
        "task": header.task,
        "index": index,
        "station_seed": station_seed,
        "seed": header.seed,
        "instruction": header.instruction,
        "given_instruction": request.told or header.instruction,
        "outcome": str(header.outcome),
        "reason": header.reason,
        "duration_s": episode.duration_s,
    }


def _whole(finished: Finished) -> Episode:
    if isinstance(finished.result, RobotFaultError):
        raise finished.result
    return finished.result


def _placed(config: EvaluationConfig, index: int) -> Placed:
    """Episode `index`, and where it is run."""
    told = _instruction_of(config, _partner(config, index)) if config.shuffle_instructions else ""
    request = EpisodeRequest(
        task=config.task,
        seed=config.first_seed + index,
        split=config.split,
        execute_steps=config.execute_steps,
        told=told,
        run_id="evaluation",
        episode_id=f"evaluation-{index:06d}",
    )
    return Placed(config.station_seeds[index % len(config.station_seeds)], request)


def _partner(config: EvaluationConfig, index: int) -> int:
    """The scene whose instruction episode `index` is given: a fixed derangement of the episodes."""
    order = np.random.default_rng(config.first_seed).permutation(config.episodes)
    place = int(np.flatnonzero(order == index)[0])
    return int(order[(place + 1) % config.episodes])


def _instruction_of(config: EvaluationConfig, index: int) -> str:
    station_seed, request = _placed(replace(config, shuffle_instructions=False), index)
    robot = robot_for(config.robot, station_seed)
    return robot.reset(request.task, request.seed, split=request.split).instruction


def film_evaluation(config: EvaluationConfig, directory: Path, indices: Sequence[int]) -> list[Path]:
    """Film the given episodes of an evaluation into a contact sheet (PNG) and a moving one (GIF)."""
    films = []
    for index in indices:
        station_seed, request = _placed(replace(config, episodes=max(config.episodes, index + 1)), index)
        filmed = FilmedRobot(robot_for(config.robot, station_seed))
        # In a lane, as it was evaluated: the same bits.
        lane = Lane(lambda filmed=filmed: filmed, iter([request]))
        (finished,) = run_in_lockstep(policy_for(config.checkpoint), [lane])
        films.append(Film(_whole(finished).header, filmed.pictures))
    return [
        contact_sheet(films, directory / "contact_sheet.png"),
        moving_sheet(films, directory / "contact_sheet.gif"),
    ]

"""The virtual clock: a fleet as a discrete-event simulation, computed as fast as the machine can.

Robots, operators, network and learner are processes of one SimPy clock; what they compute are futures of an
engine. A future is submitted as soon as its inputs are known, and the clock waits for it only when it would
pass the earliest time at which the result matters: an episode is computed during the reset before it, and a
span of learner steps while it lasts. So all cores are busy, and the records depend on none of this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import simpy

from sop_bench.fleet import tables
from sop_bench.fleet.cell import CellConfig
from sop_bench.fleet.engine import Engine
from sop_bench.fleet.evaluation_process import EvaluationProcess
from sop_bench.fleet.identity import run_name
from sop_bench.fleet.journal import Journal
from sop_bench.fleet.learner_process import LearnerProcess
from sop_bench.fleet.robot_process import RobotProcess
from sop_bench.fleet.shared import Events, Fleet
from sop_bench.fleet.spans import forget_learner_job


@dataclass(frozen=True)
class CellProgress:
    """How far a cell has come.

    Attributes:
        virtual_s: The fleet's clock.
        episodes, helped: Online episodes finished, and how many of them had a takeover.
        learner_step: Gradient steps of published versions.
        success: Of the latest evaluation that is complete, if there is one, made at `success_s`.
    """

    virtual_s: float
    episodes: int
    helped: int
    learner_step: int
    success: float | None
    success_s: float


@dataclass(frozen=True)
class CellResult:
    """The records of a cell; the same tables stand in its folder."""

    directory: Path
    episodes: pd.DataFrame
    evaluations: pd.DataFrame
    learner: pd.DataFrame
    versions: pd.DataFrame


def run_cell(
    config: CellConfig,
    engine: Engine,
    directory: Path,
    on_progress: Callable[[CellProgress], None] = lambda progress: None,
) -> CellResult:
    """Run one fleet, or go on with one that was stopped, and write its records into `directory`.

    Args:
        directory: Holds the cell's journal, episodes, updates, learner states and records.
        on_progress: Called in this thread after each episode, span and evaluation.

    Raises:
        ConfigurationError: `directory` holds a cell with other settings, or a file or name is unknown.
        CorruptDataError: The checkpoint or the journal is damaged.
        DivergedError: A loss is not finite.
        WorkerDiedError: Workers were killed.
    """
    directory = directory.resolve()
    identity = config.identity()
    with Journal(directory, identity) as journal:
        fleet = Fleet(config, engine, journal, directory, run_name(identity), simpy.Environment())
        learner = LearnerProcess(fleet)
        robots = [RobotProcess(fleet, learner, index) for index in range(config.robots)]
        evaluation = EvaluationProcess(fleet, learner)
        learner.robots, learner.watchers = robots, [evaluation]

        def tell() -> None:
            done = evaluation.latest()
            on_progress(
                CellProgress(
                    virtual_s=fleet.clock.now,
                    episodes=sum(len(robot.finished) for robot in robots),
                    helped=sum(robot.helped for robot in robots),
                    learner_step=learner.learner_step,
                    success=done[1] if done else None,
                    success_s=done[0] if done else 0.0,
                )
            )

        fleet.tell = tell
        for process in (learner, *robots):
            fleet.clock.process(process.run())
        _run(fleet.clock, evaluation.run())
        rows = {
            "evaluations": tables.frame(tables.EvaluationRow, evaluation.rows()),
            "episodes": tables.frame(tables.EpisodeRow, [row for robot in robots for row in robot.rows()]),
            "learner": tables.frame(tables.LearnerRow, learner.rows()),
            "versions": tables.frame(tables.VersionRow, learner.version_rows()),
        }
        engine.submit(forget_learner_job, directory, journal.token, affinity=fleet.learner_home)
    for name, table in rows.items():
        tables.write(table, directory / f"{name}.parquet")
    return CellResult(directory, **rows)


def _run(clock: simpy.Environment, last: Events) -> None:
    """Run the clock until the process `last` ends, raising what a process raised as it was raised."""
    try:
        clock.run(until=clock.process(last))
    except BaseException as error:
        # SimPy raises a copy, caused by the original; ours say more, such as where a worker failed.
        original = error.__cause__
        if original is not None and type(original) is type(error):
            raise original from original.__cause__
        raise

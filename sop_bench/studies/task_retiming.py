"""Timing a task again: rates are those of the task wherever they were measured, but speed is of a machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sop_bench.errors import ConfigurationError
from sop_bench.fleet.engine import Engine
from sop_bench.robot import make_robot
from sop_bench.studies.manifest import describe_run, finished, read_json, write_json
from sop_bench.studies.task_rates import load_rates, record_file, task_version, timed
from sop_bench.studies.task_speed import TaskSpeed, policy_to_time


def time_again(
    task: str,
    directory: Path,
    engine: Engine,
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    checkpoint: Path | None = None,
) -> TaskSpeed:
    """Time the loops of `task` on this machine, and put that into its record in `directory`.

    Args:
        on_progress: Told the task with what is measured, and how many loops are done and wanted.
        checkpoint: The policy that is timed; ``None`` for the shipped generalist, if it knows the task.

    Raises:
        ConfigurationError: There is no record of this version of the task, or no such checkpoint.
        CorruptDataError: The record or the checkpoint is damaged.
    """
    rates = load_rates(directory, task)
    if rates is None:
        raise _not_measured(task, directory, "no record")
    with make_robot(rates.config.robot) as robot:
        version = task_version(robot.spec, task)
        checkpoint = policy_to_time(task, robot.spec, checkpoint)
    if rates.task_version != version:
        raise _not_measured(task, directory, f"only a record of version {rates.task_version}, not {version}")
    run = describe_run("tasks", rates.config, {"policy": checkpoint} if checkpoint else {})
    speed = timed(
        rates.config, checkpoint, engine, lambda done, total: on_progress(f"{task} speed", done, total)
    )
    path = record_file(directory, task)
    write_json(path, {**read_json(path), "speed": speed.as_dict(), "speed_manifest": finished(run)})
    return speed


def _not_measured(task: str, directory: Path, found: str) -> ConfigurationError:
    return ConfigurationError(
        f"There is {found} of {task} in {directory} to put a speed into; allowed: a record of rates. Measure "
        f"both: sop-bench tasks {task} --measure 200 --records {directory}"
    )

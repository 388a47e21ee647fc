"""The cells of studies: their settings, their offline data, and how they run under the virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from sop_bench.fleet.allocation import allocate
from sop_bench.fleet.cell import CellConfig, EvaluationPlan
from sop_bench.fleet.engine import Engine, RememberingEngine
from sop_bench.fleet.jobs import evaluate_job
from sop_bench.fleet.latency import latency_profile
from sop_bench.fleet.virtual import CellProgress, run_cell
from sop_bench.learner.optimiser import LearnerConfig
from sop_bench.posttrain.hg_dagger import HGDagger
from sop_bench.studies.demos import DemonstrationProgress
from sop_bench.studies.evaluation import EVALUATION_SEED
from sop_bench.studies.fleet_study import FleetStudy
from sop_bench.studies.live import CellKey, CellState
from sop_bench.studies.offline import offline_demonstrations
from sop_bench.studies.running import CellRunner
from sop_bench.studies.stats import minimum_detectable_effect


def plain_cells(study: FleetStudy, engine: Engine, console: Console) -> CellRunner:
    """Runs cells that are nothing but a `cell_config` on `engine`, all with the same offline data."""
    demos = demonstrations(study, engine, console)
    return cell_runner(engine, lambda key: cell_config(study, key, demos))


def cell_runner(engine: Engine, config_of: Callable[[CellKey], CellConfig]) -> CellRunner:
    """Runs cells on `engine`; what several of them evaluate alike is computed once."""
    evaluates_once = RememberingEngine(engine, evaluate_job)

    def run(key: CellKey, folder: Path, tell: Callable[[CellState], None]) -> None:
        def update(progress: CellProgress) -> None:
            tell(CellState(**vars(progress)))

        run_cell(config_of(key), evaluates_once, folder, update)

    return run


def cell_config(study: FleetStudy, key: CellKey, demos: Path) -> CellConfig:
    """The resolved settings of one cell of `study`; robots are spread over the families of several tasks."""
    first = EVALUATION_SEED
    return CellConfig(
        adapter=study.adapter,
        tasks=study.tasks,
        checkpoint=study.checkpoint,
        demos=demos,
        robots=key.robots,
        robot_tasks=allocate(key.robots, study.tasks) if len(study.tasks) > 1 else (),
        seed=key.seed,
        duration_s=study.duration_s,
        reset_s=study.reset_s,
        operators=study.operators,
        latency=latency_profile(study.latency),
        learner_steps_per_s=study.learner_steps_per_s,
        publish_every=study.publish_every,
        learner=_learner(len(study.tasks)),
        algorithm=HGDagger(study.imitate),
        evaluation=EvaluationPlan(
            times_s=study.evaluation_times_s,
            seeds=tuple(range(first, first + study.evaluation_episodes)),
        ),
    )


def _learner(tasks: int) -> LearnerConfig:
    """Of several tasks, with half the frames of a single one for each: their heads train side by side."""
    return LearnerConfig() if tasks == 1 else LearnerConfig(batch_size=64 * tasks)


def demonstrations(study: FleetStudy, engine: Engine, console: Console) -> Path:
    """The folder of a study's offline data, made now if need be, with a progress bar."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("demonstrations", total=None)

        def update(robot_hours: float, done: DemonstrationProgress) -> None:
            progress.update(task, total=robot_hours, completed=done.robot_hours)

        return offline_demonstrations(study.checkpoint, study.demos, engine, update)


def detectable(trials: int, rate: float, whose: str) -> str:
    """In words, what two arms or fleets (`whose`) of `trials` each would show above `rate`."""
    rise = minimum_detectable_effect(trials, rate)
    least = f"{rise:.3f}" if rate + rise < 1 else f"more than {1 - rate:.2f}"
    return (
        f"With {trials} evaluation episodes {whose}, success must rise by {least} above {rate:g} to be seen "
        f"(power 0.8, seeds taken as alike)."
    )

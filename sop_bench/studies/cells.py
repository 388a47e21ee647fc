"""The studies as commands run them: cells on local worker processes, under the virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from sop_bench.errors import ConfigurationError
from sop_bench.fleet.allocation import allocate
from sop_bench.fleet.cell import CellConfig, EvaluationPlan
from sop_bench.fleet.engine import Engine, RememberingEngine, make_engine
from sop_bench.fleet.jobs import evaluate_job
from sop_bench.fleet.latency import latency_profile
from sop_bench.fleet.virtual import CellProgress, run_cell
from sop_bench.studies import records
from sop_bench.studies.demos import DemonstrationProgress
from sop_bench.studies.evaluation import EVALUATION_SEED
from sop_bench.studies.fleet_study import FleetStudy
from sop_bench.studies.live import CellKey, CellState, StudyDisplay
from sop_bench.studies.manifest import finish_manifest, start_manifest
from sop_bench.studies.offline import offline_demonstrations
from sop_bench.studies.profiles import ScaleStudy
from sop_bench.studies.running import CellRunner, claim, work_folder
from sop_bench.studies.scale import run_scale
from sop_bench.studies.stats import minimum_detectable_effect, wilson
from sop_bench.studies.summary import Summary


def scale(study: ScaleStudy, directory: Path, *, workers: int, fresh: bool, console: Console) -> Summary:
    """Run `study` on `workers` processes; see `sop_bench.studies.scale.run_scale`."""
    console.print(
        f"{len(study.cells)} cells of {study.duration_s / 60:.0f} virtual minutes. With {study.trials} "
        f"evaluation episodes a fleet, success must rise by {effect(study.trials, study.target)} above "
        f"{study.target:g} to be seen (power 0.8, seeds taken as alike).",
        highlight=False,
    )
    claim(study, directory, fresh)  # refuse before anything is computed
    with make_engine(workers) as engine:
        return run_scale(
            study,
            directory,
            _runner(study, engine, console),
            console=console,
            concurrent_cells=max(4, 2 * workers),
            stop=engine.close,
        )


def posttrain(
    study: ScaleStudy, key: CellKey, directory: Path, *, workers: int, fresh: bool, console: Console
) -> Table:
    """Run the single cell `key` of `study` in a folder of its own in `directory`; its curve as a table."""
    folder = directory / key.folder
    work = work_folder(folder, fresh)
    with make_engine(workers) as engine:
        run = _runner(study, engine, console)
        manifest = start_manifest(folder, "posttrain", study, {"checkpoint": study.checkpoint})
        with StudyDisplay([key], study.duration_s, console) as display:
            run(key, work, lambda state: display.update(key, state))
    found = records.gather([(key.robots, key.seed, work)], folder)
    facts = {"profile": study.profile, "robots": key.robots, "seed": key.seed}
    save_final_policy(study.checkpoint, work, folder / "policy.safetensors", facts)
    finish_manifest(folder, manifest)
    return _curve(found, key, folder)


def save_final_policy(checkpoint: Path, cell: Path, path: Path, facts: dict[str, Any]) -> None:
    """Write the last version that a cell published as a whole checkpoint.

    Args:
        checkpoint: What the cell started from.
        cell: Its working folder.
        facts: What to say of the post-training, besides the version and the checkpoint's own facts.

    Raises:
        ConfigurationError: The cell has published nothing.
    """
    from sop_bench.policy.checkpoint import load_checkpoint, load_update, save_checkpoint

    updates = sorted((cell / "updates").glob("v*.safetensors"))
    if not updates:
        raise ConfigurationError(f"{cell} holds no published version. Run the cell first.")
    base = load_checkpoint(checkpoint)
    version = load_update(base.policy, updates[-1], base.policy.version)
    posttraining = {**facts, "version": version.number, "hash": version.content_hash}
    save_checkpoint(
        base.policy, path, facts={**base.facts, "posttraining": posttraining}, number=version.number
    )


def _curve(found: records.Records, key: CellKey, folder: Path) -> Table:
    table = Table(title=f"{key}, seed {key.seed}", caption=f"records in {folder}", box=SIMPLE_HEAD)
    table.add_column("virtual min", justify="right")
    table.add_column("success [95 %]")
    solved = found.outcomes(key.robots)[0].sum(axis=1)
    for time_s, successes in zip(found.times_s, solved, strict=True):
        table.add_row(f"{time_s / 60:.1f}", str(wilson(int(successes), len(found.scenes))))
    return table


def effect(trials: int, rate: float) -> str:
    """In words, the smallest rise above `rate` that two arms of `trials` each would show."""
    rise = minimum_detectable_effect(trials, rate)
    return f"{rise:.3f}" if rate + rise < 1 else f"more than {1 - rate:.2f}"


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
        evaluation=EvaluationPlan(
            times_s=study.evaluation_times_s,
            seeds=tuple(range(first, first + study.evaluation_episodes)),
        ),
    )


def _runner(study: ScaleStudy, engine: Engine, console: Console) -> CellRunner:
    demos = demonstrations(study, engine, console)
    evaluates_once = RememberingEngine(engine, evaluate_job)

    def run(key: CellKey, folder: Path, tell: Callable[[CellState], None]) -> None:
        run_cell(cell_config(study, key, demos), evaluates_once, folder, telling(tell))

    return run


def telling(tell: Callable[[CellState], None]) -> Callable[[CellProgress], None]:
    """What a cell reports, in the words of the live table."""
    return lambda progress: tell(CellState(**vars(progress)))


def demonstrations(study: FleetStudy, engine: Engine, console: Console) -> Path:
    """The folder of a study's offline data, made now if need be, with a progress bar."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("demonstrations", total=None)

        def update(robot_hours: float, done: DemonstrationProgress) -> None:
            progress.update(task, total=robot_hours, completed=done.robot_hours)

        return offline_demonstrations(study.checkpoint, study.demos, engine, update)

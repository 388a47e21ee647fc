"""The command line. What is heavy is imported inside commands, so that ``--help`` answers at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.panel import Panel
from rich.text import Text

from sop_bench import cli_studies, cli_tasks
from sop_bench.cli_common import (
    DEFAULT_TASK,
    Adapter,
    CheckpointOption,
    Seed,
    Workers,
    again,
    err,
    interruptible,
    out,
    task_names,
    worker_count,
)
from sop_bench.errors import ConfigurationError, SopBenchError

app = typer.Typer(
    name="sop-bench",
    help="Scalable online post-training of vision-language-action policies: the reproducible benchmark.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Tasks = Annotated[str, typer.Option("--tasks", "--task", help="Tasks of the robot, with commas, or all.")]

app.add_typer(cli_tasks.app)
app.add_typer(cli_studies.app)


def main() -> None:
    """Run the command line; errors raised on purpose become a message and exit code 2."""
    try:
        app()
    except SopBenchError as error:
        title = "Cannot go on" if isinstance(error, ConfigurationError) else type(error).__name__
        err.print(Panel(Text(str(error)), title=title, title_align="left", border_style="red"))
        sys.exit(2)


# ------------------------------------------------------------------------------------------- what is there


@app.command()
def doctor(
    checkpoint: CheckpointOption = None,
    output: Annotated[Path, typer.Option(help="Where runs are to be written.")] = Path("runs"),
) -> None:
    """Say what this machine lacks, and how to get it."""
    from sop_bench import doctor as machine
    from sop_bench.studies.fleet_study import SHIPPED_CHECKPOINT

    findings = machine.examine(checkpoint or SHIPPED_CHECKPOINT, output)
    out.print(machine.as_table(findings))
    if any(finding.verdict == "fail" for finding in findings):
        raise typer.Exit(1)


@app.command()
def robots() -> None:
    """List installed robots, with their tasks and cameras."""
    from rich.table import Table

    from sop_bench.robot import ROBOTS_GROUP, installed_robots, make_robot

    table = Table("robot", "package", "rate", "cameras", "tasks", "")
    for name, entry in sorted(installed_robots().items()):
        package = entry.dist.name if entry.dist else "?"
        with make_robot(name) as robot:
            spec = robot.spec
        cameras = "\n".join(f"{c.name} {c.width}x{c.height}" for c in spec.cameras)
        kind = "real" if spec.real else "simulated"
        table.add_row(name, package, f"{spec.control_hz:g} Hz", cameras, "\n".join(spec.tasks), kind)
    out.print(table)
    out.print(f"Packages offer robots through the entry-point group {ROBOTS_GROUP!r}.", style="dim")


# ------------------------------------------------------------------------------------------------ policies


@app.command()
def demos(
    output: Annotated[Path, typer.Option(help="Folder that receives one Parquet file per episode.")],
    adapter: Adapter = "so101",
    tasks: Tasks = DEFAULT_TASK,
    robot_hours: Annotated[
        float, typer.Option(help="Hours of kept demonstrations; of all tasks together.")
    ] = 0.05,
    workers: Workers = None,
    seed: Seed = 0,
) -> None:
    """Collect demonstrations from the scripted expert; resumes and extends what OUTPUT holds.

    Several tasks share the hours in the paper's proportions, and get a folder each.
    """
    from sop_bench import cli_progress as progress
    from sop_bench.fleet.engine import make_engine
    from sop_bench.studies.demos import DemonstrationConfig, DemonstrationProgress, collect_demonstrations
    from sop_bench.studies.mixture import MixtureConfig, collect_mixture

    names, done = task_names(tasks, adapter), DemonstrationProgress(0, 0, 0.0)

    with interruptible(again()), make_engine(worker_count(workers)) as engine, progress.hours(err) as bar:
        show = bar(robot_hours)

        def update(progress: DemonstrationProgress) -> None:
            nonlocal done
            done = progress
            show(progress)

        if len(names) == 1:
            single = DemonstrationConfig(robot=adapter, tasks=names, robot_hours=robot_hours, seed=seed)
            collect_demonstrations(single, output, engine, update)
        else:
            mixture = MixtureConfig(
                robot=adapter, tasks=names, robot_hours=robot_hours, seed=seed, cameras=()
            )
            collect_mixture(mixture, output, engine, update)
    out.print(
        f"{done.kept} demonstrations, {60 * done.robot_hours:.1f} robot-minutes, in {output} "
        f"({done.failed} failed attempts not kept)."
    )


@app.command()
def pretrain(
    output: Annotated[Path, typer.Option(help="The checkpoint to write (.safetensors).")],
    workspace: Annotated[
        Path, typer.Option(help="Scenes and demonstrations are kept here for the next time.")
    ] = Path("runs/pretrain"),
    adapter: Adapter = "so101",
    tasks: Tasks = DEFAULT_TASK,
    profile: Annotated[
        str, typer.Option(help="Hours of demonstrations of several tasks: smoke, desk or paper.")
    ] = "desk",
    robot_hours: Annotated[
        float | None,
        typer.Option(
            help="Hours of all demonstrations; by default the profile's, or as shipped for one task."
        ),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(help="Take the encoder of this checkpoint, and train only the action head: a minute."),
    ] = None,
    workers: Workers = None,
    seed: Seed = 0,
) -> None:
    """Pretrain a compact policy from nothing: scenes, encoder, demonstrations, behaviour cloning.

    Several tasks make one generalist, with demonstrations in the paper's proportions.
    """
    from sop_bench import cli_progress as progress
    from sop_bench.fleet.engine import make_engine
    from sop_bench.studies.pretrain import pretrain as run
    from sop_bench.studies.recipe import recipe_for

    names = task_names(tasks, adapter)
    config = recipe_for(names, robot=adapter, profile=profile, robot_hours=robot_hours, seed=seed)
    with interruptible(again()), make_engine(worker_count(workers)) as engine, progress.phases(err) as bar:
        version = run(config, workspace, output, engine, bar, encoder=encoder)
    out.print(f"Wrote {output} ({version}). Evaluate it: sop-bench eval {output}")


@app.command("eval")
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="The policy to evaluate.")],
    episodes: Annotated[int, typer.Option(min=1, help="Of each task, each on a scene of its own.")] = 200,
    split: Annotated[str, typer.Option(help="Products never trained on (test), or trained on (train).")] = (
        "test"
    ),
    output: Annotated[Path, typer.Option(help="Receives episodes.csv and the contact sheet.")] = Path(
        "runs/eval"
    ),
    adapter: Adapter = "so101",
    tasks: Annotated[
        str | None,
        typer.Option("--tasks", "--task", help="With commas; by default all it was pretrained for."),
    ] = None,
    shuffle_instructions: Annotated[
        bool, typer.Option(help="Give each episode another's instruction: success must fall to chance.")
    ] = False,
    video: Annotated[bool, typer.Option(help="Film the first episodes into a contact sheet.")] = True,
    workers: Workers = None,
) -> None:
    """Measure success without help on unseen scenes, and film some of them."""
    from sop_bench import cli_progress as progress
    from sop_bench.fleet.engine import make_engine
    from sop_bench.robot import checked_split
    from sop_bench.studies import evaluation
    from sop_bench.studies.evaluation_report import as_table, as_text, film_tasks, write_rows

    chosen = checked_split(split)
    names = evaluation.trained_tasks(checkpoint) if tasks is None else task_names(tasks, adapter)
    configs = [
        evaluation.EvaluationConfig(
            checkpoint=checkpoint,
            robot=adapter,
            task=name,
            episodes=episodes,
            split=chosen,
            shuffle_instructions=shuffle_instructions,
        )
        for name in names
    ]
    with (
        interruptible(again("To evaluate again:")),
        make_engine(worker_count(workers)) as engine,
        progress.successes(err) as bar,
    ):
        reports = [evaluation.evaluate(config, engine, bar(episodes)) for config in configs]
    write_rows(reports, output / "episodes.csv")
    out.print(as_text(reports[0]) if len(reports) == 1 else as_table(reports), highlight=False)
    if video:
        for path in film_tasks(configs, output, range(min(6, episodes))):
            out.print(f"wrote {path}", highlight=False)


if __name__ == "__main__":
    main()

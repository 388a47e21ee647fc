"""The commands about tasks: their cards, the health of their physics, and watching one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sop_bench.cli_common import (
    Adapter,
    Fresh,
    Workers,
    again,
    err,
    interruptible,
    out,
    task_names,
    worker_count,
)
from sop_bench.errors import ConfigurationError, unknown_name

app = typer.Typer()

_SHEETS = (".png", ".jpg")
_PICTURE = (360, 640)


@app.command()
def tasks(
    task: Annotated[str | None, typer.Argument(help="Show this one in full, not all in a table.")] = None,
    measure: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Run expert, takeovers and random policy on this many unseen instances each, and time some.",
        ),
    ] = None,
    speed: Annotated[
        bool, typer.Option("--speed", help="Time expert and policy again, on this machine; rates are kept.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Write a contact sheet of an expert episode of TASK (.png or .jpg).")
    ] = None,
    records: Annotated[Path, typer.Option(help="Where measured rates and pictures are kept.")] = Path(
        "results/tasks"
    ),
    checkpoint: Annotated[
        Path | None, typer.Option(help="Policy to time; by default the shipped one of all tasks.")
    ] = None,
    adapter: Adapter = "so101",
    workers: Workers = None,
) -> None:
    """Show what each task is, how often its expert and a random policy solve it, and how fast it runs."""
    from sop_bench import cli_progress as progress
    from sop_bench.fleet.engine import make_engine
    from sop_bench.robot import make_robot
    from sop_bench.studies import task_cards, task_rates, task_retiming

    with make_robot(adapter) as robot:
        if task is not None and task not in robot.spec.tasks:
            raise unknown_name("task", task, robot.spec.tasks)
        names = robot.spec.tasks if task is None else (task,)
        if picture is not None:
            _check_sheet(picture, task)
        if measure is not None or speed:
            with (
                interruptible(again("To measure again:")),
                make_engine(worker_count(workers)) as engine,
                progress.phases(err) as bar,
            ):
                for name in names:
                    if measure is None:
                        task_retiming.time_again(name, records, engine, bar, checkpoint)
                        continue
                    config = task_rates.RatesConfig(name, adapter, measure)
                    task_rates.measure(config, records, engine, bar, checkpoint)
        facts = [task_cards.gather(robot, name, records) for name in names]
    out.print(task_cards.as_table(facts) if task is None else task_cards.as_panel(facts[0]))
    if picture is not None:
        task_rates.film_expert(task_rates.RatesConfig(names[0], adapter), picture)
        out.print(f"wrote {picture}", highlight=False)


def _check_sheet(picture: Path, task: str | None) -> None:
    if task is None:
        raise ConfigurationError(
            f"--picture {picture} needs a task; allowed: one, such as `sop-bench tasks restock/flat-shelf "
            f"--picture {picture}`. `sop-bench tasks` lists them."
        )
    if picture.suffix not in _SHEETS:
        raise ConfigurationError(
            f"No contact sheet can be written to {picture}: its suffix is {picture.suffix!r}; allowed: "
            f"{', '.join(_SHEETS)}. Rename it."
        )


@app.command()
def health(
    tasks: Annotated[
        str, typer.Option("--tasks", "--task", help="Tasks of the robot, with commas, or all.")
    ] = "all",
    episodes: Annotated[
        int, typer.Option(min=1, help="Of all tasks together; more than OUTPUT holds extend it.")
    ] = 10_000,
    weights: Annotated[
        str | None,
        typer.Option(help="Shares of tasks, 1 unless said, with commas: cloth/fold=0.5,cloth/quarter=0.25."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Cut episodes after this many simulated seconds.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Receives the records.")] = Path("runs/health"),
    adapter: Adapter = "so101",
    workers: Workers = None,
    fresh: Fresh = False,
) -> None:
    """Run random policies and look into physics: warnings, NaN, penetrations and speeds beyond bounds."""
    from sop_bench import cli_progress as progress
    from sop_bench.fleet.engine import make_engine
    from sop_bench.studies import health_report
    from sop_bench.studies.health import HealthConfig, check_health

    config = HealthConfig(
        task_names(tasks, adapter), adapter, episodes, _weights(weights or ""), seconds=seconds
    )
    with interruptible(again()), make_engine(worker_count(workers)) as engine, progress.phases(err) as bar:
        summary = check_health(
            config, output, engine, lambda done, total: bar("episodes", done, total), fresh=fresh
        )
    out.print(health_report.as_table(summary))
    out.print(health_report.as_text(summary), highlight=False, soft_wrap=True)
    out.print(f"Records: {output}/summary.json, tasks.csv, episodes.parquet.", highlight=False)


def _weights(text: str) -> tuple[tuple[str, float], ...]:
    try:
        pairs = (part.split("=") for part in text.split(",") if part.strip())
        return tuple((task.strip(), float(weight)) for task, weight in pairs)
    except ValueError:
        raise ConfigurationError(
            f"--weights {text!r} are no weights; allowed: TASK=NUMBER with commas, such as "
            f"cloth/fold=0.5,cloth/quarter=0.25."
        ) from None


@app.command()
def watch(
    task: Annotated[str, typer.Argument(help="One of the robot's tasks; `sop-bench tasks` lists them.")],
    policy: Annotated[
        str, typer.Option(help="expert, random, smooth, abrupt, shaky, or the file of a checkpoint.")
    ] = "expert",
    instance: Annotated[
        int | None, typer.Option(help="Number of the scene, as in records; by default the first evaluated.")
    ] = None,
    split: Annotated[str, typer.Option(help="Instances never trained on (test), or trained on (train).")] = (
        "test"
    ),
    station_seed: Annotated[int, typer.Option(help="Draws the station; 0 is nominal.")] = 1,
    output: Annotated[
        Path | None,
        typer.Option(help="Video (.mp4, .gif); by default one in runs/watch."),
    ] = None,
    viewer: Annotated[bool, typer.Option("--viewer", help="Show it in a window; needs a display.")] = False,
    rerun: Annotated[
        Path | None, typer.Option(help="Write a Rerun recording (.rrd); needs the extra 'rerun'.")
    ] = None,
    adapter: Adapter = "so101",
) -> None:
    """Run one episode and show it: as a video, in a window, or as a Rerun recording."""
    from sop_bench.robot import checked_split, make_robot
    from sop_bench.rollout import EpisodeRequest, run_episode
    from sop_bench.studies import actors, film, rerun_log
    from sop_bench.studies.evaluation import EVALUATION_SEED
    from sop_bench.studies.watched import WindowedRobot

    seed = EVALUATION_SEED if instance is None else instance
    who = policy if policy in actors.NAMED else Path(policy).stem
    name = f"{task.replace('/', '-')}-{who}-{seed}"
    if output is None and not viewer and rerun is None:
        output = Path("runs/watch") / f"{name}{film.video_suffix()}"
    actors.check_actor(policy)
    if output is not None:
        film.check_video(output)
    if rerun is not None:
        rerun_log.check_recording(rerun)
    with make_robot(adapter, station_seed=station_seed) as bare, interruptible(again("To watch again:")):
        if task not in bare.spec.tasks:
            raise unknown_name("task", task, bare.spec.tasks)
        request = EpisodeRequest(
            task,
            seed,
            checked_split(split),
            execute_steps=actors.execute_steps(policy),
            pixels="none" if rerun is None else "all",
            cameras=tuple(camera.name for camera in bare.spec.cameras),
            run_id="watch",
            episode_id=name,
        )
        filmed = film.FilmedRobot(bare, every=1, size=_PICTURE)
        filming = output is not None or rerun is not None
        shown = WindowedRobot(filmed if filming else bare) if viewer else None
        with shown or filmed as robot:
            episode = run_episode(robot, actors.actor(policy, robot), request)
            header = episode.header
            out.print(f"{header.instruction}\n{header.outcome}: {header.reason}, {episode.duration_s:.1f} s")
            if output is not None:
                film.video(film.Film(header, filmed.pictures), output, bare.spec.control_step_s)
                out.print(f"wrote {output}", highlight=False)
            if rerun is not None:
                rerun_log.record(episode, bare.spec, rerun, filmed.pictures)
                out.print(f"wrote {rerun}. Look at it: rerun {rerun}", highlight=False)
            if shown is not None:
                out.print("Close the window to go on.")
                shown.linger()

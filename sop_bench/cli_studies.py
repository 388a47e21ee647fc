"""The commands that run studies: fleets of several sizes, of several methods, or from more data or less."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from sop_bench.cli_common import (
    DEFAULT_TASK,
    Adapter,
    CheckpointOption,
    Demos,
    Fresh,
    Latency,
    Profile,
    Seed,
    Workers,
    again,
    interruptible,
    numbers,
    out,
    task_names,
    whole_numbers,
    worker_count,
)

S = TypeVar("S")  # of summaries

app = typer.Typer()

Tasks = Annotated[
    str,
    typer.Option("--tasks", "--task", help="The fleet's, with commas, or all; families share its robots."),
]
FleetSize = Annotated[int | None, typer.Option(help="Robots of the fleet; by default as the profile says.")]
Seeds = Annotated[int | None, typer.Option(min=1, help="Training seeds; by default as the profile says.")]
Scenes = Annotated[
    int | None, typer.Option(min=1, help="Of each task in each evaluation; by default as the profile says.")
]
Minutes = Annotated[
    str | None,
    typer.Option(help="Virtual minutes of evaluations, from 0 to the end; by default as the profile says."),
]
Imitate = Annotated[
    str,
    typer.Option(
        help="Frames that HG-DAgger learns from: interventions; successes, with the policy's own steps; or "
        "weighted, half of each."
    ),
]


@app.command()
def posttrain(
    robots: Annotated[int, typer.Option(min=0, help="Fleet size; 0 is the control, without a fleet.")] = 4,
    profile: Profile = "desk",
    seed: Seed = 0,
    tasks: Tasks = DEFAULT_TASK,
    scenes: Scenes = None,
    minutes: Minutes = None,
    adapter: Adapter = "so101",
    checkpoint: CheckpointOption = None,
    demos: Demos = None,
    latency: Latency = "field",
    imitate: Imitate = "interventions",
    output: Annotated[Path | None, typer.Option(help="By default runs/posttrain-PROFILE.")] = None,
    workers: Workers = None,
    fresh: Fresh = False,
) -> None:
    """Post-train one policy with one fleet: a single cell of `scale`."""
    from sop_bench.studies.live import CellKey
    from sop_bench.studies.posttrain import posttrain as run
    from sop_bench.studies.profiles import scale_study

    study = scale_study(
        profile,
        (max(1, robots),),
        seeds=(seed,),
        **_setting(tasks, adapter, checkpoint, demos, latency, imitate, scenes, minutes),
    )
    directory = output or Path(f"runs/posttrain-{profile}")
    key, count = CellKey(seed, robots), worker_count(workers)
    with interruptible(again()):
        curve = run(study, key, directory, workers=count, fresh=fresh, console=out)
    out.print(curve)
    policy = directory / key.folder / "policy.safetensors"
    out.print(f"The last version is {policy}. Evaluate it: sop-bench eval {policy}", soft_wrap=True)


@app.command()
def scale(
    robots: Annotated[str, typer.Option(help="Fleet sizes, with commas.")] = "1,2,4",
    profile: Profile = "desk",
    seeds: Seeds = None,
    tasks: Tasks = DEFAULT_TASK,
    scenes: Scenes = None,
    minutes: Minutes = None,
    adapter: Adapter = "so101",
    checkpoint: CheckpointOption = None,
    demos: Demos = None,
    latency: Latency = "field",
    imitate: Imitate = "interventions",
    target: Annotated[float, typer.Option(help="Success rate whose first crossing is timed.")] = 0.8,
    output: Annotated[Path | None, typer.Option(help="By default runs/scale-PROFILE.")] = None,
    workers: Workers = None,
    fresh: Fresh = False,
) -> None:
    """Draw success against wall-clock for several fleet sizes, and time to target against fleet size."""
    from sop_bench.studies import scale as study_of
    from sop_bench.studies.profiles import scale_study
    from sop_bench.studies.report import as_rich

    study = scale_study(
        profile,
        whole_numbers(robots, "--robots"),
        seeds=_numbered(seeds),
        target=target,
        **_setting(tasks, adapter, checkpoint, demos, latency, imitate, scenes, minutes),
    )
    directory = output or Path(f"runs/scale-{profile}")
    _carry_out(study_of.scale, study, directory, workers, fresh, as_rich, study_of.SCALING.figure)


@app.command()
def compare(
    profile: Profile = "desk",
    seeds: Seeds = None,
    robots: FleetSize = None,
    rounds: Annotated[
        int | None, typer.Option(help="Rounds of the baseline; by default as the profile says.")
    ] = None,
    tasks: Tasks = DEFAULT_TASK,
    scenes: Scenes = None,
    minutes: Minutes = None,
    adapter: Adapter = "so101",
    checkpoint: CheckpointOption = None,
    demos: Demos = None,
    latency: Latency = "field",
    imitate: Imitate = "interventions",
    output: Annotated[Path | None, typer.Option(help="By default runs/compare-PROFILE.")] = None,
    workers: Workers = None,
    fresh: Fresh = False,
) -> None:
    """Compare SOP+HG-DAgger with HG-DAgger in rounds: same robot-hours, attention and gradient steps."""
    from sop_bench.studies import compare as study_of
    from sop_bench.studies.compare_report import as_rich

    study = study_of.compare_study(
        profile,
        seeds=_numbered(seeds),
        **_given(robots=robots, rounds=rounds),
        **_setting(tasks, adapter, checkpoint, demos, latency, imitate, scenes, minutes),
    )
    directory = output or Path(f"runs/compare-{profile}")
    _carry_out(study_of.compare, study, directory, workers, fresh, as_rich, study_of.COMPARISON.figure)


@app.command("pretrain-sweep")
def pretrain_sweep(
    profile: Profile = "desk",
    seeds: Seeds = None,
    fractions: Annotated[str, typer.Option(help="Of the demonstrations, with commas.")] = "1/8,1/2,full",
    robots: FleetSize = None,
    tasks: Tasks = DEFAULT_TASK,
    scenes: Scenes = None,
    minutes: Minutes = None,
    adapter: Adapter = "so101",
    checkpoint: CheckpointOption = None,
    demos: Demos = None,
    latency: Latency = "field",
    imitate: Imitate = "interventions",
    output: Annotated[Path | None, typer.Option(help="By default runs/pretrain-sweep-PROFILE.")] = None,
    workers: Workers = None,
    fresh: Fresh = False,
) -> None:
    """Measure success before and after the same SOP run, by how many demonstrations came before it."""
    from sop_bench.studies import pretrain_sweep as study_of
    from sop_bench.studies.sweep_report import as_rich

    study = study_of.sweep_study(
        profile,
        seeds=_numbered(seeds),
        fractions=tuple(name.strip() for name in fractions.split(",")),
        **_given(robots=robots),
        **_setting(tasks, adapter, checkpoint, demos, latency, imitate, scenes, minutes),
    )
    directory = output or Path(f"runs/pretrain-sweep-{profile}")
    _carry_out(study_of.pretrain_sweep, study, directory, workers, fresh, as_rich, study_of.SWEEP.figure)


def _setting(
    tasks: str,
    adapter: str,
    checkpoint: Path | None,
    demos: Path | None,
    latency: str,
    imitate: str,
    scenes: int | None,
    minutes: str | None,
) -> dict[str, Any]:
    """What every study is told of the fleet and its evaluation, in the words of a `FleetStudy`."""
    times_s = None if minutes is None else tuple(60 * time for time in numbers(minutes, "--minutes"))
    return {
        "tasks": task_names(tasks, adapter),
        "adapter": adapter,
        "checkpoint": checkpoint,
        "demos": demos,
        "latency": latency,
        "imitate": imitate,
        **_given(evaluation_episodes=scenes, evaluation_times_s=times_s),
    }


def _carry_out(
    run: Callable[..., S],
    study: object,
    directory: Path,
    workers: int | None,
    fresh: bool,
    as_table: Callable[[S], object],
    figure: str,
) -> None:
    """Run `study` so that it can be interrupted, show what came of it, and say where it stands."""
    count = worker_count(workers)
    with interruptible(again()):
        summary = run(study, directory, workers=count, fresh=fresh, console=out)
    out.print(as_table(summary))
    out.print(f"Records, {directory}/summary.json and the figure {directory}/{figure}.png are written.")


def _numbered(seeds: int | None) -> tuple[int, ...] | None:
    return None if seeds is None else tuple(range(seeds))


def _given(**options: Any) -> dict[str, Any]:
    """Options that the profile does not decide."""
    return {name: value for name, value in options.items() if value is not None}

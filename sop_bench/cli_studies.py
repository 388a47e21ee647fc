"""The commands that compare ways of training one fleet: by SOP or in rounds, from more data or from less."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sop_bench.cli_common import (
    DEFAULT_TASK,
    Adapter,
    CheckpointOption,
    Demos,
    Fresh,
    Latency,
    Profile,
    Workers,
    again,
    interruptible,
    out,
    task_names,
    worker_count,
)

app = typer.Typer()

Tasks = Annotated[
    str,
    typer.Option("--tasks", "--task", help="The fleet's, with commas, or all; robots do them in turn."),
]
FleetSize = Annotated[int | None, typer.Option(help="Robots of the fleet; by default as the profile says.")]
Seeds = Annotated[int | None, typer.Option(min=1, help="Training seeds; by default as the profile says.")]


@app.command()
def compare(
    profile: Profile = "desk",
    seeds: Seeds = None,
    robots: FleetSize = None,
    rounds: Annotated[
        int | None, typer.Option(help="Rounds of the baseline; by default as the profile says.")
    ] = None,
    tasks: Tasks = DEFAULT_TASK,
    adapter: Adapter = "so101",
    checkpoint: CheckpointOption = None,
    demos: Demos = None,
    latency: Latency = "field",
    output: Annotated[Path | None, typer.Option(help="By default runs/compare-PROFILE.")] = None,
    workers: Workers = None,
    fresh: Fresh = False,
) -> None:
    """Compare SOP+HG-DAgger with HG-DAgger in rounds: same robot-hours, attention and gradient steps."""
    from sop_bench.studies import compare as study_of
    from sop_bench.studies.compare_report import as_rich

    study = study_of.compare_study(
        profile,
        checkpoint=checkpoint,
        seeds=_numbered(seeds),
        **_given(robots=robots, rounds=rounds),
        tasks=task_names(tasks, adapter),
        adapter=adapter,
        demos=demos,
        latency=latency,
    )
    directory = output or Path(f"runs/compare-{profile}")
    count = worker_count(workers)
    with interruptible(again()):
        summary = study_of.compare(study, directory, workers=count, fresh=fresh, console=out)
    out.print(as_rich(summary))
    out.print(f"Records, {directory}/summary.json and the figure {directory}/comparison.png are written.")


@app.command("pretrain-sweep")
def pretrain_sweep(
    profile: Profile = "desk",
    seeds: Seeds = None,
    fractions: Annotated[str, typer.Option(help="Of the demonstrations, with commas.")] = "1/8,1/2,full",
    robots: FleetSize = None,
    tasks: Tasks = DEFAULT_TASK,
    adapter: Adapter = "so101",
    checkpoint: CheckpointOption = None,
    demos: Demos = None,
    latency: Latency = "field",
    output: Annotated[Path | None, typer.Option(help="By default runs/pretrain-sweep-PROFILE.")] = None,
    workers: Workers = None,
    fresh: Fresh = False,
) -> None:
    """Measure success before and after the same SOP run, by how many demonstrations came before it."""
    from sop_bench.studies import pretrain_sweep as study_of
    from sop_bench.studies.sweep_report import as_rich

    study = study_of.sweep_study(
        profile,
        checkpoint=checkpoint,
        seeds=_numbered(seeds),
        fractions=_names(fractions),
        **_given(robots=robots),
        tasks=task_names(tasks, adapter),
        adapter=adapter,
        demos=demos,
        latency=latency,
    )
    directory = output or Path(f"runs/pretrain-sweep-{profile}")
    count = worker_count(workers)
    with interruptible(again()):
        summary = study_of.pretrain_sweep(study, directory, workers=count, fresh=fresh, console=out)
    out.print(as_rich(summary))
    out.print(f"Records, {directory}/summary.json and the figure {directory}/pretraining.png are written.")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _numbered(seeds: int | None) -> tuple[int, ...] | None:
    return None if seeds is None else tuple(range(seeds))


def _given(**options: Any) -> dict[str, Any]:
    """Options that the profile does not decide."""
    return {name: value for name, value in options.items() if value is not None}

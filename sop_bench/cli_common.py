"""What all commands share: where they print, their common options, and how they stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sop_bench.errors import ConfigurationError

out = Console()
err = Console(stderr=True)

Adapter = Annotated[str, typer.Option(help="Registered robot; `sop-bench robots` lists them.")]
Workers = Annotated[int | None, typer.Option(help="Worker processes; by default one for each core.")]
CheckpointOption = Annotated[
    Path | None, typer.Option(help="Pretrained policy; by default the one that is shipped.")
]
Demos = Annotated[
    Path | None,
    typer.Option(help="Demonstrations; by default those of the checkpoint, made again when missing."),
]
Profile = Annotated[str, typer.Option(help="smoke (a minute), desk (minutes on two cores) or paper (hours).")]
Latency = Annotated[str, typer.Option(help="Upload and publish delays: field (as measured) or zero.")]
Fresh = Annotated[bool, typer.Option("--fresh/--resume", help="Delete or resume what --output holds.")]

Seed = Annotated[int, typer.Option(help="Draws scenes, noise and batches.")]

DEFAULT_TASK = "restock/flat-shelf"


@contextmanager
def interruptible(resume: str) -> Iterator[None]:
    """Ctrl-C inside ends with exit code 130 and a line that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        err.print(f"\nInterrupted; nothing finished is lost. {resume}", highlight=False)
        raise typer.Exit(130) from None


def again(note: str = "To go on:") -> str:
    """How to resume: the very command that was given, without what would delete its work."""
    words = [word for word in sys.argv[1:] if word != "--fresh"]
    return f"{note} sop-bench {' '.join(words)}"


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """The numbers in an option such as ``1,2,4``; raises `ConfigurationError` for anything else."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigurationError(
            f"{option} {text!r} is no list of whole numbers; allowed: numbers with commas, such as 1,2,4."
        ) from None


def numbers(text: str, option: str) -> tuple[float, ...]:
    """The numbers in an option such as ``0,7.5,30``; raises `ConfigurationError` for anything else."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigurationError(
            f"{option} {text!r} is no list of numbers; allowed: numbers with commas, such as 0,7.5,30."
        ) from None


def task_names(text: str, adapter: str) -> tuple[str, ...]:
    """The tasks in a list with commas; ``all`` for every task of the robot.

    Raises:
        ConfigurationError: Unknown robot or task, a task twice, or none.
    """
    from sop_bench.errors import unknown_name
    from sop_bench.robot import make_robot

    names = [name.strip() for name in text.split(",") if name.strip()]
    with make_robot(adapter) as robot:
        offered = robot.spec.tasks
    if names == ["all"]:
        return tuple(offered)
    for name in names:
        if name not in offered:
            raise unknown_name("task", name, offered)
    if not names or len(set(names)) < len(names):
        raise ConfigurationError(
            f"Tasks {text!r} are none, or name one twice; allowed: different tasks with commas between, or "
            f"all. Choose among {', '.join(offered)}."
        )
    return tuple(names)


def worker_count(given: int | None) -> int:
    """The worker processes asked for, or one for each core.

    Raises:
        ConfigurationError: A negative number.
    """
    if given is not None and given < 0:
        raise ConfigurationError(f"--workers {given} is not possible; allowed: 0 (this process) or more.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if given is None else given

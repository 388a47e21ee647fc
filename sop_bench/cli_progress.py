"""Progress bars of the commands that run one thing; in a log, lines instead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sop_bench.studies.demos import DemonstrationProgress
from sop_bench.studies.live import clock
from sop_bench.studies.phases import PhaseProgress

_RECENT_STEPS = 100  # that a loss is averaged over
_LINE_EVERY_S = 30.0  # in logs, where a bar would be seen only when it is full


@contextmanager
def _bar(console: Console) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description:14}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        if console.is_terminal:
            yield progress
        else:
            with _lines(progress, console):
                yield progress


@contextmanager
def _lines(progress: Progress, console: Console) -> Iterator[None]:
    """Prints a line for each bar now and then while it moves, and at the end."""
    told: dict[TaskID, str] = {}
    left = threading.Event()

    def tell() -> None:
        for task in progress.tasks:
            if task.completed and told.get(task.id) != task.fields["note"]:
                told[task.id] = task.fields["note"]
                console.print(_line(task), highlight=False, markup=False, soft_wrap=True)

    def now_and_then() -> None:
        while not left.wait(_LINE_EVERY_S):
            tell()

    thread = threading.Thread(target=now_and_then, daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
        tell()


def _line(task: Task) -> str:
    remaining = task.time_remaining
    after = "" if remaining is None or task.finished else f", about {clock(remaining)} left"
    passed = task.finished_time if task.finished else task.elapsed
    note = f" {task.fields['note']}" if task.fields["note"] else ""
    return f"{task.description}:{note} [{task.percentage:.0f}%, {clock(passed or 0.0)} elapsed{after}]"


@contextmanager
def hours(console: Console) -> Iterator[Callable[[float], Callable[[DemonstrationProgress], None]]]:
    """A bar towards robot-hours of demonstrations."""
    with _bar(console) as progress:

        def towards(robot_hours: float) -> Callable[[DemonstrationProgress], None]:
            task = progress.add_task("demonstrations", total=robot_hours, note="")

            def update(done: DemonstrationProgress) -> None:
                note = f"{done.kept} kept, {done.failed} failed"
                progress.update(task, completed=done.robot_hours, note=note)

            return update

        yield towards


@contextmanager
def phases(console: Console) -> Iterator[PhaseProgress]:
    """A bar for each phase, made when it starts; of training, with the loss of the last steps."""
    with _bar(console) as progress:
        tasks: dict[str, TaskID] = {}
        recent: dict[str, float] = {}

        def update(phase: str, done: int, total: int, loss: float | None = None, /) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(phase, total=total, note="")
            note = f"{done}/{total}"
            if loss is not None:
                before = recent.get(phase, loss)
                recent[phase] = before + (loss - before) / min(done, _RECENT_STEPS)
                note += f", loss {recent[phase]:.3g}"
            progress.update(tasks[phase], completed=done, total=total, note=note)

        yield update


@contextmanager
def successes(console: Console) -> Iterator[Callable[[int], Callable[[int, int], None]]]:
    """A bar towards a number of episodes, with the rate of success so far."""
    with _bar(console) as progress:

        def towards(episodes: int) -> Callable[[int, int], None]:
            task = progress.add_task("episodes", total=episodes, note="")

            def update(done: int, solved: int) -> None:
                progress.update(task, completed=done, note=f"{done}/{episodes}, success {solved / done:.2f}")

            return update

        yield towards

"""Progress bars of the commands that run one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sop_bench.studies.demos import DemonstrationProgress


@contextmanager
def _bar(console: Console) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description:14}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield progress


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
def phases(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each phase, made when it starts."""
    with _bar(console) as progress:
        tasks: dict[str, TaskID] = {}

        def update(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(phase, total=total, note="")
            progress.update(tasks[phase], completed=done, total=total, note=f"{done}/{total}")

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

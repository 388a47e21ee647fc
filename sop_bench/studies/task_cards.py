"""Task cards for a terminal: what a task is, and how often the expert and chance solve it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sop_bench.robot import HasTaskCards, Robot, RobotSpec, TaskCard
from sop_bench.studies.task_rates import ActorRate, TaskRates, load_rates, picture_file, task_version

_NOT_DESCRIBED = "not described yet"
_NO_CARD = TaskCard(_NOT_DESCRIBED, _NOT_DESCRIBED, _NOT_DESCRIBED, _NOT_DESCRIBED)


@dataclass(frozen=True)
class TaskFacts:
    """Everything a card shows.

    Attributes:
        rates: What was measured of this version of the task, or of another one; ``None`` if nothing was.
        picture: A contact sheet of the expert, if there is one.
    """

    name: str
    version: str
    card: TaskCard
    spec: RobotSpec
    rates: TaskRates | None
    picture: Path | None

    @property
    def remark(self) -> str:
        """Why there are no rates to quote; empty if there are."""
        if self.rates is None:
            return "not measured"
        if self.rates.task_version != self.version:
            return f"not measured (only version {self.rates.task_version})"
        return ""


def gather(robot: Robot, task: str, records: Path) -> TaskFacts:
    """The facts of one of the robot's tasks, with what `records` holds of it."""
    cards = robot.task_cards() if isinstance(robot, HasTaskCards) else {}
    picture = picture_file(records, task)
    return TaskFacts(
        name=task,
        version=task_version(robot.spec, task),
        card=cards.get(task, _NO_CARD),
        spec=robot.spec,
        rates=load_rates(records, task),
        picture=picture if picture.exists() else None,
    )


def as_table(facts: list[TaskFacts]) -> Table:
    """One line for each task."""
    table = Table(show_lines=True)
    table.add_column("task", no_wrap=True)
    for column in ("what it is", "limit", "expert [95 %]", "random"):
        table.add_column(column)
    for fact in facts:
        expert = random = Text(fact.remark, style="dim")
        if fact.rates is not None and not fact.remark:
            expert, random = (Text(f"{rate.rate:.2f}") for rate in (fact.rates.expert, fact.rates.random))
        limit = f"{fact.spec.time_limit_s[fact.name]:g} s"
        table.add_row(fact.name, Text(fact.card.summary), limit, expert, random)
    return table


def as_panel(fact: TaskFacts) -> Panel:
    """The whole card of one task."""
    spec, rates = fact.spec, fact.rates
    cameras = ", ".join(f"{camera.name} {camera.width}x{camera.height}" for camera in spec.cameras)
    lines: dict[str, RenderableType] = {
        "what it is": Text(fact.card.summary),
        "success": Text(fact.card.success),
        "failure": Text(fact.card.failure),
        "variation": Text(fact.card.variation),
        "limits": f"{spec.time_limit_s[fact.name]:g} s at {spec.control_hz:g} Hz, {spec.action_dim} joints",
        "cameras": cameras,
    }
    if rates is None or fact.remark:
        again = Text(f"{fact.remark}; measure: sop-bench tasks {fact.name} --measure 200", style="dim")
        lines["expert"] = lines["random policy"] = again
    else:
        lines["expert"], lines["random policy"] = _measured(rates.expert), _measured(rates.random)
        of = "unseen" if rates.config.split == "test" else "training"
        lines["measured on"] = (
            f"{rates.config.episodes} {of} instances at {len(rates.config.station_seeds)} stations"
        )
    lines["picture"] = Text(
        str(fact.picture) if fact.picture else f"make one: sop-bench tasks {fact.name} --picture FILE.png"
    )
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    for name, value in lines.items():
        grid.add_row(name, value)
    version = f" (version {fact.version})" if fact.version else ""
    return Panel(grid, title=f"{fact.name}{version}", title_align="left", expand=False)


def _measured(rate: ActorRate) -> Text:
    ends = ", ".join(f"{count} {reason}" for reason, count in rate.reasons.items())
    mean = f", {rate.mean_success_s:.1f} s a success" if rate.mean_success_s is not None else ""
    return Text(f"{rate.rate} (95 % Wilson interval){mean}\n").append(ends, style="dim")

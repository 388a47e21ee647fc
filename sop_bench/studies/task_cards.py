"""Task cards for a terminal: what a task is, how often expert and chance solve it, and how fast it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sop_bench.robot import HasTaskCards, Robot, RobotSpec, TaskCard
from sop_bench.studies.stats import Interval
from sop_bench.studies.takeovers import TakeoverRate
from sop_bench.studies.task_rates import ActorRate, TaskRates, load_rates, picture_file, task_version
from sop_bench.studies.task_speed import LOOPS, PICTURES, POLICY_LOOP, TOGETHER, TaskSpeed

_NOT_MEASURED = "not measured"
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
            return _NOT_MEASURED
        if self.rates.task_version != self.version:
            return f"{_NOT_MEASURED} (only version {self.rates.task_version})"
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
    """One line for each task, within 100 columns."""
    table = Table(show_lines=True)
    table.add_column("task\nlimit", no_wrap=True)
    table.add_column("what it is")
    for who in ("expert", "takeover", "random"):
        table.add_column(f"{who}\n[95 %]")
    table.add_column("x real time\npictures /\npolicy /\ntogether")
    for fact in facts:
        task = Text(fact.name).append(f"\n{fact.spec.time_limit_s[fact.name]:g} s", style="dim")
        table.add_row(task, Text(fact.card.summary), *_cells(fact))
    return table


def _cells(fact: TaskFacts) -> list[Text]:
    """Expert, takeover, random, and the real-time factors."""
    rates = fact.rates
    if rates is None or fact.remark:
        return [Text(fact.remark, style="dim"), Text(), Text(), Text()]
    takeover = speed = Text(_NOT_MEASURED, style="dim")
    if rates.takeover is not None:
        takeover = _short(rates.takeover.total.rate)
    if rates.speed is not None:
        speed = Text(" / ".join(_factor(rates.speed, loop) for loop in (PICTURES, POLICY_LOOP, TOGETHER)))
    return [_short(rates.expert.rate), takeover, _short(rates.random.rate), speed]


def _short(rate: Interval) -> Text:
    """In two lines: three of these have to stand side by side."""
    return Text(f"{rate:.2f}".replace(" ", "\n", 1))


def _factor(speed: TaskSpeed, loop: str) -> str:
    """One of a speed's factors in two or three digits, ``-`` if it was not measured."""
    if loop not in speed.loops:
        return "-"
    factor = speed.loops[loop].real_time_factor
    return f"{factor:.1f}" if factor < 10 else f"{factor:.0f}"


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
        lines["expert"] = again
    else:
        lines["expert"], lines["takeover"] = _measured(rates.expert), _taken_over(rates.takeover)
        lines["random policy"] = _measured(rates.random)
        lines["x real time"] = _speed(rates.speed, rates.cpu)
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
    ends = _listed(rate.reasons)
    mean = f", {rate.mean_success_s:.1f} s a success" if rate.mean_success_s is not None else ""
    return Text(f"{rate.rate} (95 % Wilson interval){mean}\n").append(ends, style="dim")


def _taken_over(takeover: TakeoverRate | None) -> Text:
    if takeover is None:
        return Text(_NOT_MEASURED, style="dim")
    total = takeover.total
    text = Text(f"{total.rate} (95 % Wilson interval), {total.taken_over} taken over from a bad policy\n")
    parts = [
        ", ".join(f"{name} {one.successes}/{one.taken_over}" for name, one in takeover.by_policy.items())
    ]
    if takeover.failures:
        parts.append(f"failed: {_listed(takeover.failures)}")
    if takeover.lost_reasons:
        parts.append(f"lost before: {_listed(takeover.lost_reasons)}")
    return text.append("; ".join(parts), style="dim")


def _speed(speed: TaskSpeed | None, cpu: str) -> Text:
    if speed is None:
        return Text(_NOT_MEASURED, style="dim")
    text = Text("; ".join(f"{loop} {_factor(speed, loop)}" for loop in LOOPS))
    text.append(f" (one core{f' of {cpu}' if cpu else ''})")
    for loop in (POLICY_LOOP, TOGETHER):
        if loop in speed.loops:
            shares = speed.loops[loop].shares.items()
            parts = ", ".join(f"{part} {100 * share:.0f} %" for part, share in shares)
            text.append(f"\n{loop}: {parts}", "dim")
    return text


def _listed(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())

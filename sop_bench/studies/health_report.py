"""A health run for a terminal: what each task's physics did, and which episodes to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from sop_bench.studies.health_records import HealthSummary

_UNITS = {"_rad_s": (1.0, "rad/s"), "_m_s": (1.0, "m/s"), "_m": (1000.0, "mm")}
_SHOWN = 12  # episodes to look at


def as_table(summary: HealthSummary) -> Table:
    """One line for each task: the worst of each quantity, and how many episodes were beyond its bound."""
    titles = [_title(name, bound["limit"]) for name, bound in summary["bounds"].items()]
    table = Table(box=SIMPLE_HEAD)
    table.add_column("task", no_wrap=True)
    for title in ("episodes", "trouble", *titles, "CPU s"):
        table.add_column(title, overflow="fold")
    for task, facts in summary["tasks"].items():
        troubles = {**facts["warnings"], "NaN": len(facts["not_finite"]), "faults": len(facts["faults"])}
        table.add_row(
            task,
            str(facts["episodes"]),
            ", ".join(f"{count} {name}" for name, count in troubles.items() if count) or "none",
            *(_cell(name, quantity) for name, quantity in facts["quantities"].items()),
            f"{facts['wall_cpu_s']:.0f}",
        )
    table.caption = (
        "Trouble: warnings, NaN, divergences. Depths (mm) and speeds: the worst, and in brackets how many "
        "episodes were beyond the bound."
    )
    return table


def as_text(summary: HealthSummary) -> str:
    """How many episodes there are, and the commands that show the offending ones."""
    lines = [f"{summary['episodes']} of {summary['episodes_wanted']} episodes."]
    offending = _offending(summary)
    if not offending:
        return f"{lines[0]} No warning, NaN or fault, and nothing beyond its bound."
    lines += [f"{why}\n  {watch}" for why, watch in offending[:_SHOWN]]
    if len(offending) > _SHOWN:
        lines.append(f"and {len(offending) - _SHOWN} more in summary.json")
    return "\n".join(lines)


def _offending(summary: HealthSummary) -> list[tuple[str, str]]:
    found: dict[str, list[str]] = {}
    for facts in summary["tasks"].values():
        for name, kind in (("faults", "diverged"), ("not_finite", "not finite"), ("warned", "warned")):
            for episode in facts[name]:
                found.setdefault(episode["watch"], []).append(kind)
        for name, quantity in facts["quantities"].items():
            for worst in quantity["worst"]:
                if worst["value"] > quantity["limit"]:
                    what = f"{_words(name)} {_measure(name, worst['value'])}, {worst['where']}"
                    found.setdefault(worst["watch"], []).append(f"{what}, at {worst['at_s']:.1f} s")
    return [("; ".join(whys), watch) for watch, whys in found.items()]


def _title(name: str, limit: float) -> str:
    """Whose quantity, and its bound; the unit says whether it is a depth or a speed."""
    scale, unit = _UNITS.get(_suffix(name), (1.0, ""))
    words = _words(name).split()
    return "\n".join([" ".join(words[:-1] or words), f"< {scale * limit:g}", unit])


def _cell(name: str, quantity: Mapping[str, Any]) -> str:
    if not quantity["worst"]:
        return "-"
    worst = _measure(name, quantity["worst"][0]["value"]).split()[0]
    return f"{worst} ({quantity['beyond']})" if quantity["beyond"] else worst


def _suffix(name: str) -> str:
    return next((suffix for suffix in _UNITS if name.endswith(suffix)), "")


def _words(name: str) -> str:
    return name.removesuffix(_suffix(name)).replace("_", " ")


def _measure(name: str, value: float) -> str:
    scale, unit = _UNITS.get(_suffix(name), (1.0, ""))
    return f"{scale * value:.3g} {unit}".strip()

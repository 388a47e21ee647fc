"""What an evaluation says to people: text for one task, a table for several, rows and films for all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from sop_bench.robot import make_robot
from sop_bench.studies.evaluation import EvaluationConfig, EvaluationReport, film_evaluation


def as_text(report: EvaluationReport) -> str:
    """One task: success, throughput as either paper counts it, and why episodes ended."""
    lines = [
        f"success     {report.success} (95 % Wilson interval, {report.successes} of {len(report.rows)})",
        f"throughput  {report.terminated_per_hour:.0f} terminated/h (as the SOP paper counts)",
        f"            {report.successes_per_hour:.0f} successes/h (as RECAP counts); resets excluded",
        *(f"{count:7d}  {reason}" for reason, count in report.reasons().items()),
    ]
    return "\n".join(lines)


def as_table(reports: Sequence[EvaluationReport]) -> Table:
    """Several tasks: one row each, with the limit that its episodes had."""
    with make_robot(reports[0].config.robot) as robot:
        limits_s = robot.spec.time_limit_s
    table = Table(box=SIMPLE_HEAD, caption="95 % Wilson intervals; throughput without resets")
    table.add_column("task", no_wrap=True)  # cut short, four tasks of restocking would look alike
    for title in ("limit", "success", "mean length", "terminated/h", "successes/h"):
        table.add_column(title, justify="right")
    table.add_column("most failures")
    for report in reports:
        reasons = [
            f"{count} {reason}" for reason, count in report.reasons(of_failures=True).items() if reason
        ]
        table.add_row(
            report.config.task,
            f"{limits_s[report.config.task]:g} s",
            str(report.success),
            f"{report.robot_s / len(report.rows):.1f} s",
            f"{report.terminated_per_hour:.0f}",
            f"{report.successes_per_hour:.0f}",
            ", ".join(reasons[:2]),
        )
    rates = np.array([report.success.mean for report in reports])
    table.add_section()
    table.add_row("mean over tasks", "", f"{rates.mean():.3f}", "", "", "", "")
    return table


def write_rows(reports: Sequence[EvaluationReport], path: Path) -> Path:
    """All episodes of all tasks as one CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.concat([report.rows for report in reports], ignore_index=True).to_csv(path, index=False)
    return path


def film_tasks(configs: Sequence[EvaluationConfig], directory: Path, indices: Sequence[int]) -> list[Path]:
    """Contact sheets of the given episodes: in `directory` for one task, in a folder of each for several."""
    if len(configs) == 1:
        return film_evaluation(configs[0], directory, indices)
    return [
        path
        for config in configs
        for path in film_evaluation(config, directory / config.task.replace("/", "-"), indices)
    ]

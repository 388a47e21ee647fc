"""`sop-bench doctor`: what this machine has, what it lacks, and how to get it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import psutil
from rich.table import Table

from sop_bench.robot import installed_robots

Verdict = Literal["ok", "warn", "fail"]

_GIB = 2**30
_OLDEST_PYTHON = (3, 11)
_RENDER_TIMEOUT_S = 60
_GL_HELP = {
    "egl": "apt-get install libegl1 libgl1-mesa-dri",
    "osmesa": "apt-get install libosmesa6",
}
# A subprocess, because a GL backend is chosen once per process and a broken one can end it.
_RENDER = """
import mujoco
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 1'/><geom size='.1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 64, 64) as renderer:
    renderer.update_scene(data)
    assert renderer.render().std() > 0, "the image is empty"
"""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table; `remedy` says what to do unless all is well."""

    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""


def examine(checkpoint: Path | None, workspace: Path) -> list[Finding]:
    """All findings about this machine.

    Args:
        checkpoint: Where the pretrained policy is expected.
        workspace: The folder runs are written to; its disk is measured.
    """
    checks: Iterable[Callable[[], Finding]] = (
        _python,
        lambda: _package("mujoco", below=4),
        lambda: _package("torch"),
        _gl,
        _cores,
        _memory,
        lambda: _disk(workspace),
        lambda: _checkpoint(checkpoint),
        _robots,
    )
    return [check() for check in checks]


def as_table(findings: Iterable[Finding]) -> Table:
    """The findings for a terminal."""
    colours = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    table = Table("what", "", "found", "what to do", title="sop-bench doctor", title_justify="left")
    for finding in findings:
        verdict = f"[{colours[finding.verdict]}]{finding.verdict}[/]"
        table.add_row(finding.subject, verdict, finding.found, finding.remedy)
    return table


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= _OLDEST_PYTHON:
        return Finding("Python", "ok", found)
    return Finding("Python", "fail", found, "use Python 3.11 or newer: make PYTHON=python3.11 bench")


def _package(name: str, below: int | None = None) -> Finding:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding(name, "fail", "missing", "pip install -c constraints.txt -e .")
    if below is not None and int(found.split(".")[0]) >= below:
        return Finding(name, "fail", found, f"pip install '{name}<{below}': newer ones fail to load models")
    return Finding(name, "ok", found)


def _gl() -> Finding:
    """Cameras need one of two headless backends; EGL is the faster."""
    if _renders("egl"):
        return Finding("rendering", "ok", "EGL renders")
    if _renders("osmesa"):
        remedy = f"runs, slower, with MUJOCO_GL=osmesa; for EGL: {_GL_HELP['egl']}"
        return Finding("rendering", "warn", "OSMesa renders, EGL does not", remedy)
    return Finding(
        "rendering", "fail", "neither EGL nor OSMesa", f"{_GL_HELP['egl']} (or {_GL_HELP['osmesa']})"
    )


def _renders(backend: str) -> bool:
    environment = {**os.environ, "MUJOCO_GL": backend}
    environment.pop("PYOPENGL_PLATFORM", None)  # left by a parent that uses the other backend
    try:
        outcome = subprocess.run(
            [sys.executable, "-c", _RENDER], env=environment, capture_output=True, timeout=_RENDER_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return False
    return outcome.returncode == 0


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores >= 2:
        return Finding("cores", "ok", str(cores))
    return Finding("cores", "warn", str(cores), "works; the desk profile takes about twice as long")


def _memory() -> Finding:
    gib = psutil.virtual_memory().available / _GIB
    if gib >= 4:
        return Finding("memory", "ok", f"{gib:.1f} GiB free")
    verdict: Verdict = "warn" if gib >= 2 else "fail"
    return Finding("memory", verdict, f"{gib:.1f} GiB free", "the desk profile needs 4 GiB: use --workers 1")


def _disk(workspace: Path) -> Finding:
    there = next(path for path in (workspace.absolute(), *workspace.absolute().parents) if path.exists())
    gib = shutil.disk_usage(there).free / _GIB
    if gib >= 4:
        return Finding("disk", "ok", f"{gib:.1f} GiB free in {there}")
    verdict: Verdict = "warn" if gib >= 1 else "fail"
    return Finding("disk", verdict, f"{gib:.1f} GiB free in {there}", "free some, or give --output elsewhere")


def _checkpoint(path: Path | None) -> Finding:
    if path is not None and path.exists():
        return Finding("pretrained policy", "ok", f"{path.name} ({path.stat().st_size / 2**20:.1f} MiB)")
    remedy = "make one: sop-bench demos, then sop-bench pretrain; or give --checkpoint"
    return Finding("pretrained policy", "warn", f"none at {path}" if path else "none", remedy)


def _robots() -> Finding:
    found = installed_robots()
    if found:
        return Finding("robots", "ok", ", ".join(sorted(found)))
    return Finding("robots", "fail", "none", "pip install -c constraints.txt -e . (entry points are missing)")

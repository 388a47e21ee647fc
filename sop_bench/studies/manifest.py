"""`manifest.json`: what made a set of records, written before the first step and completed at the end.

It holds the resolved configuration, versions of the packages that decide numbers, the git commit, the machine
(never its name), the command line and the times. A run that was killed leaves a manifest whose ``ended_wall``
is null.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from sop_bench.errors import CorruptDataError

PACKAGES = ("sop-bench", "torch", "mujoco", "dm-control", "numpy", "scipy", "statsmodels", "pyarrow", "simpy")
_NAME = "manifest.json"


def write_json(path: Path, data: Mapping[str, Any]) -> Path:
    """Write `data` so that `path` is either the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=2, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`; raises `CorruptDataError` if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptDataError(
            f"{path} is not readable JSON ({error}). Delete it, or restore it from a copy."
        ) from error


def start_manifest(directory: Path, command: str, config: Any, files: Mapping[str, Path]) -> dict[str, Any]:
    """Write the manifest of a run that is about to start.

    Args:
        directory: Where the records will stand.
        command: What is run, e.g. ``"scale"``.
        config: A frozen dataclass of plain data.
        files: Inputs whose content matters (checkpoints): kept as path (see `portable`) and SHA-256.
    """
    manifest = describe_run(command, config, files)
    write_json(directory / _NAME, manifest)
    return manifest


def describe_run(command: str, config: Any, files: Mapping[str, Path]) -> dict[str, Any]:
    """The content of a manifest whose run is about to start, as in `start_manifest`; nothing is written."""
    return {
        "command": command,
        "command_line": ["sop-bench", *sys.argv[1:]],
        "config": plain(config),
        "files": {name: {"path": portable(path), "sha256": sha256(path)} for name, path in files.items()},
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "git": git_state(Path(__file__).resolve().parent),
        "machine": machine(),
        "started_wall": _now(),
        "ended_wall": None,
    }


def finish_manifest(directory: Path, manifest: Mapping[str, Any], **extra: Any) -> None:
    """Add the time of the end, and what else is known only then."""
    write_json(directory / _NAME, finished(manifest, **extra))


def finished(manifest: Mapping[str, Any], **extra: Any) -> dict[str, Any]:
    """`manifest` with the time of the end, which is now, and what else is known only then."""
    return {**manifest, **extra, "ended_wall": _now()}


def read_manifest(directory: Path) -> dict[str, Any] | None:
    """The manifest of the records in `directory`, or ``None`` if there is none."""
    path = directory / _NAME
    return read_json(path) if path.exists() else None


def configuration(directory: Path, *names: str) -> dict[str, Any]:
    """The settings of the run that made the records in `directory`; it must hold those called `names`.

    Raises:
        CorruptDataError: It does not, or the manifest is damaged.
    """
    manifest = read_manifest(directory) or {}
    config = manifest.get("config", {})
    if missing := [name for name in names if name not in config]:
        raise CorruptDataError(
            f"{directory}/manifest.json does not say what was run ({', '.join(missing)} missing). "
            f"Restore it, or run the study again."
        )
    return config


def portable(path: Path) -> str:
    """What names a file on any machine: from the checkout on if it is inside, else from the home, or all."""
    whole = path.resolve()
    for root, name in ((Path(__file__).resolve().parents[2], ""), (Path.home(), "~/")):
        if whole.is_relative_to(root):
            return name + whole.relative_to(root).as_posix()
    return str(path)


def plain(value: Any) -> Any:
    """`value` as JSON data: dataclasses become objects, paths `portable` text, tuples lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return portable(value) if isinstance(value, Path) else value


def machine() -> dict[str, str | int | float]:
    """What about this machine decides speed or pixels; nothing that identifies it."""
    return {
        "cores": psutil.cpu_count() or 1,
        "cpu": cpu_model(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "gl": os.environ.get("MUJOCO_GL", "egl"),
        "bfloat16": bfloat16(),
    }


def bfloat16() -> bool:
    """Whether training multiplies in bfloat16 here."""
    import torch

    from sop_bench.policy.precision import training_format

    return training_format() is torch.bfloat16


def cpu_model() -> str:
    """The processor's marketing name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def git_state(directory: Path) -> dict[str, str | bool] | None:
    """The commit of the checkout around `directory` and whether it has uncommitted changes, if any."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(directory), *arguments], check=True, capture_output=True, text=True, timeout=10
        ).stdout.strip()

    try:
        # Only the code: records and runs that this very study writes do not make the code different.
        code = git("status", "--porcelain", "--", ":/sop_bench", ":/envs", ":/adapters", ":/pyproject.toml")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(code)}
    except (OSError, subprocess.SubprocessError):
        return None


def sha256(path: Path) -> str:
    """Hex digest of a file, or of a directory's files in name order."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

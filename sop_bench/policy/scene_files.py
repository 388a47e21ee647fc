"""Shards of labelled scenes on disk: rendered when they are first needed, whole or absent."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sop_bench.policy.scene_rendering import render_scenes
from sop_bench.policy.scenes import SceneRequest, Scenes
from sop_bench.policy.stored_images import ImageFile, StoredImages, unreadable_shard


def cached_scenes(request: SceneRequest, directory: Path) -> Path:
    """The file of a shard in `directory`, rendered now if it is missing, damaged, or lacks a camera."""
    path = directory / request.file_name
    if not path.exists() or not set(request.cameras) <= _rendered_cameras(path):
        save_scenes(render_scenes(request), path)
    return path


def _rendered_cameras(path: Path) -> set[str]:
    """The cameras of a shard; none if it is damaged."""
    try:
        with zipfile.ZipFile(path) as file:
            images = [name for name in file.namelist() if name.startswith("images.")]
    except (OSError, zipfile.BadZipFile):
        return set()
    return {name.removeprefix("images.").removesuffix(".npy") for name in images}


def save_scenes(scenes: Scenes, path: Path) -> None:
    """Write `scenes` so that the file is either whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    arrays = {
        "instructions": scenes.instructions,
        "state": scenes.state,
        **{f"images.{name}": values[:] for name, values in scenes.images.items()},
        **{f"labels.{name}": values for name, values in scenes.labels.items()},
    }
    try:
        with part.open("wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]  (stubs mix up allow_pickle)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load_scenes(path: Path, cameras: Sequence[str] | None = None) -> Scenes:
    """The scenes in `path`, with the images of `cameras`, or of all that it holds; images stay in the file.

    Raises:
        CorruptDataError: It is damaged, or lacks a camera.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            held = [name.removeprefix("images.") for name in file.files if name.startswith("images.")]
            arrays = {name: file[name] for name in file.files if not name.startswith("images.")}
        return Scenes(
            images={
                name: StoredImages([ImageFile.of(path, f"images.{name}")])
                for name in (held if cameras is None else cameras)
            },
            instructions=arrays["instructions"],
            state=arrays["state"],
            labels={n.removeprefix("labels."): a for n, a in arrays.items() if n.startswith("labels.")},
        )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise unreadable_shard(path, str(error)) from error

"""Episodes: what one robot did from reset to outcome, with the provenance of every frame.

An episode is one self-contained Parquet file: a row per control step, and the header as JSON in the schema's
metadata. Column names follow LeRobot where it has one (``observation.state``, ``observation.images.front``,
``action``, ``intervention``). Images are PNG bytes, read only when asked for, so that an index over many
episodes costs memory by the frame and not by the pixel.
"""

from __future__ import annotations

import enum
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from sop_bench.errors import CorruptDataError
from sop_bench.robot import Outcome, Split

_HEADER_KEY = b"sop_bench.episode"
_FORMAT = 1


class Source(enum.IntEnum):
    """Who chose an action."""

    POLICY = 0
    EXPERT = 1
    HUMAN = 2


@dataclass(frozen=True)
class EpisodeHeader:
    """What is true of a whole episode.

    Attributes:
        run_id, episode_id: An episode id is unique within all runs and makes ingestion idempotent.
        robot, robot_index, station: Who did it: registered name, place in the fleet, station parameters.
        task, split, seed, instruction: What was asked; (station, task, split, seed) recreate the scene.
        policy_version, policy_hash: The weights that acted (0 and "" for a demonstration).
        control_hz: Frames per second.
        started_s: Fleet clock at the first frame, in seconds since the run began.
        outcome, reason: How it ended and why.
        takeovers: One hazard name for each time the supervisor took over.
        intervention_s: Seconds under the supervisor's control.
        operator_s: Seconds of the operator's attention charged (interventions and reaction delays).
    """

    run_id: str
    episode_id: str
    robot: str
    robot_index: int
    station: Mapping[str, float | int | str]
    task: str
    split: Split
    seed: int
    instruction: str
    policy_version: int
    policy_hash: str
    control_hz: float
    started_s: float
    outcome: Outcome = Outcome.RUNNING
    reason: str = ""
    takeovers: tuple[str, ...] = ()
    intervention_s: float = 0.0
    operator_s: float = 0.0

    @property
    def success(self) -> bool:
        return self.outcome is Outcome.SUCCESS

    @property
    def autonomous_success(self) -> bool:
        """Success of the whole episode without help."""
        return self.success and not self.takeovers


@dataclass(frozen=True)
class Frames:
    """Per-step arrays of an episode of T steps, A joints, P proprioception values.

    `state` and `commanded_rad` are what was seen *before* the step; `executed_rad` is what the robot did.
    A segment is a run of steps with one source: next frames never cross its boundary.
    """

    step: NDArray[np.int32]  # (T,)
    policy_version: NDArray[np.int32]  # (T,)
    source: NDArray[np.int8]  # (T,)
    segment_id: NDArray[np.int32]  # (T,)
    state: NDArray[np.float32]  # (T, P)
    commanded_rad: NDArray[np.float32]  # (T, A)
    requested_rad: NDArray[np.float32]  # (T, A)
    executed_rad: NDArray[np.float32]  # (T, A)
    monotonic_s: NDArray[np.float64]  # (T,)
    wall_s: NDArray[np.float64]  # (T,)

    def __len__(self) -> int:
        return len(self.step)

    def segment_end(self) -> NDArray[np.int32]:
        """(T,) index one past the last step of each step's segment."""
        change = np.flatnonzero(np.diff(self.segment_id)) + 1
        ends = np.append(change, len(self))
        return ends[np.searchsorted(ends, np.arange(len(self)), side="right")].astype(np.int32)


@dataclass(frozen=True)
class Episode:
    """A header, its frames, and for each recorded camera one PNG per frame (``None`` where not recorded)."""

    header: EpisodeHeader
    frames: Frames
    images_png: Mapping[str, Sequence[bytes | None]] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        return len(self.frames) / self.header.control_hz

    def image(self, camera: str, step: int) -> NDArray[np.uint8]:
        """The decoded image (height, width, 3) of one frame; raises `CorruptDataError` if not recorded."""
        png = self.images_png[camera][step]
        if png is None:
            raise CorruptDataError(
                f"Episode {self.header.episode_id!r} has no {camera!r} image at step {step}: "
                f"it was not recorded. Choose a frame with pixels."
            )
        return decode_png(png)


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Lossless bytes of a (height, width, 3) image; the fastest compression level, small images."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def decode_png(png: bytes) -> NDArray[np.uint8]:
    """The (height, width, 3) image in PNG bytes."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


# ---------------------------------------------------------------------------------------------- files

_SCALARS = {
    "step": pa.int32(),
    "policy_version": pa.int32(),
    "source": pa.int8(),
    "segment_id": pa.int32(),
    "monotonic_s": pa.float64(),
    "wall_s": pa.float64(),
}
_VECTORS = {
    "observation.state": "state",
    "observation.commanded": "commanded_rad",
    "action.requested": "requested_rad",
    "action": "executed_rad",
}
_IMAGE_PREFIX = "observation.images."


def _table(episode: Episode) -> pa.Table:
    frames = episode.frames
    columns: dict[str, pa.Array] = {
        name: pa.array(getattr(frames, name), type=kind) for name, kind in _SCALARS.items()
    }
    columns["intervention"] = pa.array(frames.source != Source.POLICY)
    for column, name in _VECTORS.items():
        values: NDArray[np.float32] = getattr(frames, name)
        columns[column] = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    for camera, images in episode.images_png.items():
        columns[_IMAGE_PREFIX + camera] = pa.array(images, type=pa.binary())
    header = json.dumps({"format": _FORMAT, **asdict(episode.header)}, sort_keys=True)
    return pa.table(columns).replace_schema_metadata({_HEADER_KEY: header.encode()})


def save_episode(episode: Episode, path: Path) -> Path:
    """Write `episode` to `path` so that the file is either whole or absent, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            pq.write_table(
                _table(episode),
                file,
                compression="zstd",
                use_dictionary=False,
                write_statistics=False,
                write_page_checksum=True,
            )
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _open(path: Path) -> tuple[pq.ParquetFile, dict[str, Any]]:
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        raw = (file.schema_arrow.metadata or {})[_HEADER_KEY]
        return file, json.loads(raw)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise CorruptDataError(
            f"{path} is not a readable episode ({error}); expected a Parquet file written by sop-bench. "
            f"Delete it, or restore it from a copy; the other episodes are not affected."
        ) from error


def _parse_header(raw: Mapping[str, Any]) -> EpisodeHeader:
    fields = {k: v for k, v in raw.items() if k != "format"}
    fields["outcome"] = Outcome(fields["outcome"])
    fields["takeovers"] = tuple(fields["takeovers"])
    return EpisodeHeader(**fields)


def load_header(path: Path) -> EpisodeHeader:
    """Only the header of the episode at `path`; raises `CorruptDataError`."""
    _, raw = _open(path)
    return _parse_header(raw)


def load_episode(path: Path, *, cameras: Sequence[str] = ()) -> Episode:
    """The episode at `path`, with the PNG bytes of the named cameras (none by default: pixels are lazy).

    Raises:
        CorruptDataError: The file is damaged, or is not an episode, or lacks a camera.
    """
    file, raw = _open(path)
    header = _parse_header(raw)
    wanted = [*_SCALARS, *_VECTORS, *(_IMAGE_PREFIX + c for c in cameras)]
    missing = [name for name in wanted if name not in file.schema_arrow.names]
    if missing:
        raise CorruptDataError(f"{path} lacks the columns {missing}; it has {file.schema_arrow.names}.")
    try:
        table = file.read(columns=wanted)
    except (OSError, pa.ArrowException) as error:
        raise CorruptDataError(
            f"{path} is damaged ({error}). Delete it, or restore it from a copy."
        ) from error
    values: dict[str, Any] = {name: table[name].to_numpy() for name in _SCALARS}
    for column, name in _VECTORS.items():
        chunk = table[column].combine_chunks()
        values[name] = chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
    images = {camera: table[_IMAGE_PREFIX + camera].to_pylist() for camera in cameras}
    return Episode(header, Frames(**values), images)

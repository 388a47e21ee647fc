"""Episodes as Rerun recordings (https://rerun.io): images, joints and outcome on a timeline in seconds.

Needs the extra ``rerun``. Entities::

    images/<camera>                          what the robot saw before each step
    viewer                                   the desk as people see it, if it was filmed
    state/<joint>/position_rad, ...          proprioception, by the names in `RobotSpec`
    action/<joint>/requested_rad, executed_rad
    instruction, outcome                     text
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sop_bench.episode import Episode
from sop_bench.errors import ConfigurationError
from sop_bench.robot import Outcome, RobotSpec

TIMELINE = "episode"
_JPEG_QUALITY = 85


def check_recording(path: Path) -> None:
    """Raises `ConfigurationError` if `record` could not write `path`, before an episode is run."""
    if path.suffix != ".rrd":
        raise ConfigurationError(
            f"No Rerun recording can be written to {path}: its suffix is {path.suffix!r}; allowed: .rrd. "
            f"Rename it."
        )
    if find_spec("rerun") is None:
        raise ConfigurationError(
            f"Writing {path} needs the package rerun-sdk, which is missing; it comes with the extra 'rerun'. "
            f"Install it with: pip install -c constraints.txt -e '.[rerun]'"
        )


def record(episode: Episode, spec: RobotSpec, path: Path, pictures: Sequence[NDArray[np.uint8]] = ()) -> Path:
    """Write `episode` to `path` (.rrd).

    Args:
        spec: Of the robot that did it; names the joints.
        pictures: The desk at reset and after each step, if it was filmed.

    Raises:
        ConfigurationError: Another suffix, or the extra is not installed.
    """
    check_recording(path)
    import rerun as rr  # pyright: ignore[reportMissingImports]

    header, frames = episode.header, episode.frames
    path.parent.mkdir(parents=True, exist_ok=True)
    with rr.RecordingStream("sop-bench", recording_id=header.episode_id) as recording:
        recording.save(path, default_blueprint=_blueprint(sorted(episode.images_png), bool(len(pictures))))
        recording.log("instruction", rr.TextDocument(header.instruction), static=True)
        seconds = rr.TimeColumn(TIMELINE, duration=frames.step / header.control_hz)
        names = [f"state/{name}" for name in spec.proprioception_names]
        curves = dict(zip(names, frames.state.T, strict=True))
        for kind, actions in (("requested_rad", frames.requested_rad), ("executed_rad", frames.executed_rad)):
            for joint, column in zip(spec.joint_names, actions.T, strict=True):
                curves[f"action/{joint}.{kind}"] = column
        for name, column in curves.items():
            values = rr.Scalars.columns(scalars=column.astype(np.float64))
            recording.send_columns(name.replace(".", "/"), [seconds], values)
        for camera, pngs in episode.images_png.items():
            for step, png in enumerate(pngs):
                if png is not None:
                    recording.set_time(TIMELINE, duration=step / header.control_hz)
                    image = rr.EncodedImage(contents=png, media_type="image/png")
                    recording.log(f"images/{camera}", image)
        for step, picture in enumerate(pictures):
            recording.set_time(TIMELINE, duration=step / header.control_hz)
            recording.log("viewer", rr.Image(picture).compress(jpeg_quality=_JPEG_QUALITY))
        recording.set_time(TIMELINE, duration=episode.duration_s)
        level = "INFO" if header.outcome is Outcome.SUCCESS else "WARN"
        recording.log("outcome", rr.TextLog(f"{header.outcome}: {header.reason}", level=level))
    return path


def _blueprint(cameras: Sequence[str], filmed: bool):
    """Pictures on the left, joints on the right."""
    import rerun.blueprint as rrb  # pyright: ignore[reportMissingImports]

    looks = [rrb.Spatial2DView(origin=f"images/{camera}", name=camera) for camera in cameras]
    if filmed:
        looks.insert(0, rrb.Spatial2DView(origin="viewer", name="viewer"))
    curves = [rrb.TimeSeriesView(origin=name, name=name) for name in ("state", "action")]
    words = [rrb.TextDocumentView(origin="instruction"), rrb.TextLogView(origin="outcome")]
    return rrb.Horizontal(rrb.Grid(*looks), rrb.Vertical(*curves, rrb.Horizontal(*words)))

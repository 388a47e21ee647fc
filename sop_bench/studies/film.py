"""Filming episodes: a wrapper that films a robot, and contact sheets and videos a person can follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sop_bench.episode import EpisodeHeader
from sop_bench.errors import ConfigurationError
from sop_bench.robot import Observation, Outcome, Step
from sop_bench.studies.watched import WatchedRobot

_INK = {Outcome.SUCCESS: (20, 120, 60), Outcome.FAILURE: (180, 40, 30), Outcome.TIMEOUT: (150, 110, 0)}
_CAPTION_HEIGHT = 18
_LINGER_S = 1.0


@runtime_checkable
class HasViewer(Protocol):
    """Robots that can be looked at from outside, for people."""

    def render(self, camera: str, height: int, width: int) -> NDArray[np.uint8]: ...


@dataclass
class FilmedRobot(WatchedRobot):
    """A `Robot` that behaves as `robot` does and keeps a picture every `every` control steps.

    Args:
        robot: The robot to film. If it has no viewer, its first camera is filmed instead.
        size: Height and width of a picture.
    """

    every: int = 2
    size: tuple[int, int] = (180, 288)
    pictures: list[NDArray[np.uint8]] = field(default_factory=list)
    _step: int = 0

    def began(self, observation: Observation) -> None:
        self.pictures, self._step = [], 0
        self._take(observation)

    def moved(self, step: Step) -> None:
        self._step += 1
        if self._step % self.every == 0 or step.outcome is not Outcome.RUNNING:
            self._take(step.observation)

    def _take(self, observation: Observation) -> None:
        robot = self.bare
        if isinstance(robot, HasViewer):
            picture = robot.render("viewer", *self.size)
        else:
            image = Image.fromarray(next(iter(observation.images.values())))
            picture = np.asarray(image.resize((self.size[1], self.size[0])))
        self.pictures.append(picture)


@dataclass(frozen=True)
class Film:
    """The pictures of one episode, and what it was."""

    header: EpisodeHeader
    pictures: Sequence[NDArray[np.uint8]]

    def at(self, fraction: float) -> NDArray[np.uint8]:
        """The picture at a fraction of the episode, in [0, 1]."""
        return self.pictures[round(fraction * (len(self.pictures) - 1))]


def contact_sheet(films: Sequence[Film], path: Path, columns: int = 6) -> Path:
    """A PNG with a row per episode and `columns` moments of it, captioned with instruction and outcome."""
    rows = [_row([film.at(i / (columns - 1)) for i in range(columns)], film.header) for film in films]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path, optimize=True)
    return path


def moving_sheet(films: Sequence[Film], path: Path, columns: int = 3, picture_s: float = 0.2) -> Path:
    """An animated GIF in which all episodes run side by side, each holding its last picture."""
    length = max(len(film.pictures) for film in films) + round(_LINGER_S / picture_s)
    frames = []
    for index in range(length):
        tiles = [_row([film.pictures[min(index, len(film.pictures) - 1)]], film.header) for film in films]
        tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
        lines = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
        frames.append(Image.fromarray(np.concatenate(lines)).quantize(96))
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=round(picture_s * 1000), loop=0)
    return path


def video_suffix() -> str:
    """``.mp4`` where it can be written, else ``.gif``."""
    return ".mp4" if find_spec("imageio_ffmpeg") else ".gif"


def check_video(path: Path) -> None:
    """Raises `ConfigurationError` if `video` could not write `path`, before anything is filmed."""
    if path.suffix not in (".mp4", ".gif"):
        raise ConfigurationError(
            f"No video can be written to {path}: its suffix is {path.suffix!r}; allowed: .mp4, .gif. "
            f"Rename it."
        )
    if path.suffix == ".mp4" and video_suffix() != ".mp4":
        raise ConfigurationError(
            f"Writing {path} needs the package imageio-ffmpeg, which is missing; allowed without it: .gif. "
            f"Install it with: pip install -c constraints.txt -e '.[video]'"
        )


def video(film: Film, path: Path, picture_s: float) -> Path:
    """A captioned MP4 or animated GIF of one episode, by the suffix of `path`; the last picture stays.

    Raises:
        ConfigurationError: Another suffix, or an MP4 without the package for it.
    """
    check_video(path)
    if path.suffix == ".gif":
        return moving_sheet([film], path, columns=1, picture_s=picture_s)
    import imageio_ffmpeg  # pyright: ignore[reportMissingImports]

    frames = [np.ascontiguousarray(_row([picture], film.header)) for picture in film.pictures]
    frames += frames[-1:] * round(_LINGER_S / picture_s)
    height, width, _ = frames[0].shape
    path.parent.mkdir(parents=True, exist_ok=True)
    rate_hz = round(1 / picture_s)
    # Blocks of two: the default of 16 would scale the pictures.
    writer = imageio_ffmpeg.write_frames(str(path), (width, height), fps=rate_hz, macro_block_size=2)
    writer.send(None)
    for frame in frames:
        writer.send(frame)
    writer.close()
    return path


def _row(pictures: Sequence[NDArray[np.uint8]], header: EpisodeHeader) -> NDArray[np.uint8]:
    body = np.concatenate(pictures, axis=1)
    caption = Image.new("RGB", (body.shape[1], _CAPTION_HEIGHT), (255, 255, 255))
    text = f"{header.instruction}   |   {header.outcome}: {header.reason}"
    ImageDraw.Draw(caption).text((4, 3), text, fill=_INK.get(header.outcome, (0, 0, 0)))
    return np.concatenate([np.asarray(caption), body])

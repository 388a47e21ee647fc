"""Watching episodes: a wrapper that films a robot, and contact sheets a person can follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sop_bench.episode import EpisodeHeader
from sop_bench.robot import Expert, Observation, Outcome, Robot, RobotSpec, Split, Step
from sop_bench.supervision.operator import expert_of

_INK = {Outcome.SUCCESS: (20, 120, 60), Outcome.FAILURE: (180, 40, 30), Outcome.TIMEOUT: (150, 110, 0)}
_CAPTION_HEIGHT = 18


@runtime_checkable
class HasViewer(Protocol):
    """Robots that can be looked at from outside, for people."""

    def render(self, camera: str, height: int, width: int) -> NDArray[np.uint8]: ...


@dataclass
class FilmedRobot:
    """A `Robot` that behaves as `robot` does and keeps a picture every `every` control steps.

    Args:
        robot: The robot to film. If it has no viewer, its first camera is filmed instead.
        size: Height and width of a picture.
    """

    robot: Robot
    every: int = 2
    size: tuple[int, int] = (180, 288)
    pictures: list[NDArray[np.uint8]] = field(default_factory=list)
    _step: int = 0

    @property
    def spec(self) -> RobotSpec:
        return self.robot.spec

    def reset(self, task: str, seed: int, *, split: Split = "train") -> Observation:
        observation = self.robot.reset(task, seed, split=split)
        self.pictures, self._step = [], 0
        self._take(observation)
        return observation

    def step(self, action_rad: NDArray[np.floating]) -> Step:
        step = self.robot.step(action_rad)
        self._step += 1
        if self._step % self.every == 0 or step.outcome is not Outcome.RUNNING:
            self._take(step.observation)
        return step

    def _take(self, observation: Observation) -> None:
        if isinstance(self.robot, HasViewer):
            picture = self.robot.render("viewer", *self.size)
        else:
            image = Image.fromarray(next(iter(observation.images.values())))
            picture = np.asarray(image.resize((self.size[1], self.size[0])))
        self.pictures.append(picture)

    def expert(self) -> Expert:
        return expert_of(self.robot)

    def close(self) -> None:
        self.robot.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
    length = max(len(film.pictures) for film in films) + round(1.0 / picture_s)
    frames = []
    for index in range(length):
        tiles = [_row([film.pictures[min(index, len(film.pictures) - 1)]], film.header) for film in films]
        tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
        lines = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
        frames.append(Image.fromarray(np.concatenate(lines)).quantize(96))
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=round(picture_s * 1000), loop=0)
    return path


def _row(pictures: Sequence[NDArray[np.uint8]], header: EpisodeHeader) -> NDArray[np.uint8]:
    body = np.concatenate(pictures, axis=1)
    caption = Image.new("RGB", (body.shape[1], _CAPTION_HEIGHT), (255, 255, 255))
    text = f"{header.instruction}   |   {header.outcome}: {header.reason}"
    ImageDraw.Draw(caption).text((4, 3), text, fill=_INK.get(header.outcome, (0, 0, 0)))
    return np.concatenate([np.asarray(caption), body])

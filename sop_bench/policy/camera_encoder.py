"""One camera's encoder: images become a vector, and votes for where things are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sop_bench.policy.config import PolicyConfig
from sop_bench.policy.network import CameraNetwork
from sop_bench.policy.pointer import Pointer, Votes, attended, pointed_together, votes_of
from sop_bench.policy.rows import Rows
from sop_bench.robot import CameraSpec


class FilmBlock(nn.Module):
    """A residual block of convolutions whose channels are scaled and shifted by the condition."""

    def __init__(self, channels: int, kernel: int, condition_dim: int):
        super().__init__()
        self.film = nn.Linear(condition_dim, 2 * channels)
        self.spatial = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
        self.mix = nn.Linear(channels, channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, channels, h, w), channels last in memory, and (B, condition_dim) to the same shape."""
        scale, shift = self.film(condition)[:, None, None].chunk(2, dim=3)
        seen = self.spatial(x).permute(0, 2, 3, 1)
        mixed = self.mix(F.relu(torch.addcmul(shift, seen, 1 + scale), inplace=True))
        return x + mixed.permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Aim:
    """What a camera points at in scenes of the same tasks.

    Attributes:
        tasks: Indices of the tasks that have these labels; None for any.
        pointers: Which of the camera's pointers.
        lengths: Of the label of each.
    """

    tasks: frozenset[int] | None
    pointers: tuple[int, ...]
    lengths: tuple[int, ...]


class View(NamedTuple):
    """What one camera's encoder makes of a batch.

    Attributes:
        vector: (B, vector_dim); zero in rows whose task does not look with this camera.
        places: (B, pointed_dim) where its pointers point, one after the other in the order of its aims;
            zero in rows whose task does not have them.
        votes: For each pointer, the rows that have what it points at and its mixture for those; None where
            no row has.
    """

    vector: Tensor
    places: Tensor
    votes: Sequence[tuple[Rows, Votes] | None]


class CameraEncoder(nn.Module):
    """One camera: a strided stem, FiLM blocks at an eighth of the resolution, and a flattened grid.

    `Pointer`s read the same grid, one for each position that the configuration asks for. A row of the batch
    is looked at only if its task points with this camera at all, and only by the pointers that its task has:
    a generalist has some twenty, of which a task needs two to twelve. What a pointer makes of scenes that it
    was never taught would be something to learn by heart, and would cost as much as what it is for.

    Args:
        aims: Its pointers, by the tasks that have them.
        looks: Indices of the tasks that look with this camera; None for any.
    """

    def __init__(
        self,
        camera: CameraSpec,
        network: CameraNetwork,
        language_dim: int,
        pose_dim: int,
        aims: Sequence[Aim],
        looks: frozenset[int] | None,
    ):
        super().__init__()
        self.moves, self.aims, self.looks = pose_dim > 0, tuple(aims), looks
        self.vector_dim = network.vector_dim
        condition_dim = language_dim + pose_dim
        self.patches = nn.Conv2d(3, network.stem_channels, 4, stride=4, bias=False)
        self.offset = nn.Parameter(torch.zeros(network.stem_channels))
        self.reduce = nn.Conv2d(network.stem_channels, network.channels, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(
            FilmBlock(network.channels, kernel, condition_dim) for kernel in network.kernels
        )
        lengths = dict(pair for aim in aims for pair in zip(aim.pointers, aim.lengths, strict=True))
        cells = _eighth(camera.height) * _eighth(camera.width)
        self.attends = len(lengths) > 0 and not self.moves
        self.grid = nn.Linear(network.channels, network.grid_channels)
        looked_at = network.grid_channels * (len(lengths) if self.attends else cells)
        self.out = nn.Linear(looked_at, network.vector_dim)
        pointers = [Pointer(network.channels, cells, pose_dim, lengths[i]) for i in sorted(lengths)]
        # The first has a name of its own: checkpoints from before there were several call it that.
        self.pointer = pointers[0] if pointers else None
        self.further_pointers = nn.ModuleList(pointers[1:])

    @property
    def pointed_dim(self) -> int:
        """Length of `View.places`."""
        return sum(length + 1 for aim in self.aims for length in aim.lengths)

    def forward(self, image: Tensor, language: Tensor, pose: Tensor, tasks: Sequence[int]) -> View:
        """(B, h, w, 3) uint8, (B, language_dim), (B, pose_dim) and the task of each of the B rows."""
        rows = Rows.of(tasks, self.looks)
        if not len(rows):
            blind = language.new_zeros(len(language), self.vector_dim + self.pointed_dim)
            vector, places = blind.split([self.vector_dim, self.pointed_dim], dim=1)
            return View(vector, places, [None] * len(self._pointers()))
        if rows.index is None:
            return self._look(image, language, pose, tasks)
        tasks = [tasks[row] for row in rows.index.tolist()]
        seen = self._look(rows.take(image), rows.take(language), rows.take(pose), tasks)
        votes = [vote and (vote[0].among(rows), vote[1]) for vote in seen.votes]
        return View(rows.put(seen.vector), rows.put(seen.places), votes)

    def _look(self, image: Tensor, language: Tensor, pose: Tensor, tasks: Sequence[int]) -> View:
        condition = torch.cat([language, pose], dim=1) if self.moves else language
        x = F.relu(self.reduce(F.relu(self._embed_pixels(image), inplace=True)), inplace=True)
        for block in self.blocks:
            x = block(x, condition)
        cells = F.relu(x.permute(0, 2, 3, 1).flatten(1, 2))  # (B, cells, channels)
        grid = F.relu(self.grid(cells))  # not in place: of a view, that costs its gradient four copies
        pointers = self._pointers()
        votes: list[tuple[Rows, Votes] | None] = [None] * len(pointers)
        places: list[Tensor] = []
        noticed: list[Tensor] = []
        for aim in self.aims:
            rows = Rows.of(tasks, aim.tasks)
            if not len(rows):
                places.append(cells.new_zeros(len(cells), sum(aim.lengths) + len(aim.lengths)))
                noticed.append(grid.new_zeros(len(grid), len(aim.lengths) * grid.shape[2]))
                continue
            found = votes_of([pointers[i] for i in aim.pointers], rows.take(cells), rows.take(pose))
            for i, vote in zip(aim.pointers, found, strict=True):
                votes[i] = (rows, vote)
            places.append(rows.put(torch.cat(pointed_together(found), dim=1)))
            if self.attends:
                own = rows.take(grid)
                noticed.append(rows.put(torch.cat([attended(vote, own) for vote in found], dim=1)))
        looked_at = torch.cat(noticed, dim=1) if self.attends else grid.flatten(1)
        pointed = (
            torch.cat([place.float() for place in places], dim=1)
            if places
            else cells.new_zeros(len(cells), 0)
        )
        return View(self.out(looked_at), pointed, votes)

    def _pointers(self) -> list[Pointer]:
        first = [] if self.pointer is None else [self.pointer]
        return [*first, *(pointer for pointer in self.further_pointers if isinstance(pointer, Pointer))]

    def _embed_pixels(self, image: Tensor) -> Tensor:
        # The scaling of pixels to [-.5, .5] is folded into the convolution: done on the pixels it would cost
        # as much as half of the network. Integers up to 256 are exact in bfloat16.
        weight = self.patches.weight / 255
        bias = self.offset - 0.5 * self.patches.weight.sum(dim=(1, 2, 3))
        kind = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
        # A permuted view of (B, h, w, 3) is channels_last in memory, the fast layout for these sizes.
        return F.conv2d(image.permute(0, 3, 1, 2).to(kind), weight, bias, stride=4)


def _eighth(size: int) -> int:
    return (size // 4 + 1) // 2


def aims_of(config: PolicyConfig, camera: str) -> list[Aim]:
    """What a camera points at, positions that the same tasks have together."""
    places = config.pointed_at(camera)
    groups: dict[frozenset[int] | None, list[int]] = {}
    for index, place in enumerate(places):
        groups.setdefault(config.tasks_with(place), []).append(index)
    return [
        Aim(tasks, tuple(own), tuple(places[i].stop - places[i].start for i in own))
        for tasks, own in groups.items()
    ]

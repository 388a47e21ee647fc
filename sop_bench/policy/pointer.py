"""Pointing: every cell of a camera's grid votes for where the named thing is.

Regressing a position from the whole grid has to learn "what" anew at every place, and answers with the middle
of two candidates while it cannot tell them apart: on named groceries it had hardly begun to learn after 3000
steps. As a mixture, each cell says where the thing would be if that cell saw it, and how likely it does; the
weights are shared by all cells, and candidates stay candidates. That told products apart within 600 steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SPREAD = 0.2  # z units: scale of the Laplace-like density around a vote
_NOTHING_DISTANCE = 8.0  # spreads: how far off "not in this image" counts, whatever the truth
_BASE_GAIN = 10.0  # makes the cells' own places learn faster than the weights
_HIDDEN = 48


class Votes(NamedTuple):
    """The mixture of a batch of images.

    Attributes:
        log_weight: (B, cells + 1) log-probability that each cell, or (last) none, sees the thing.
        position: (B, cells, d) each cell's vote, in z units of the label.
    """

    log_weight: Tensor
    position: Tensor


class Pointer(nn.Module):
    """Votes for a label of length `label_dim` from a grid of features.

    Args:
        channels, cells: Of the grid.
        pose_dim: Length of the embedding of the pose, with which a wrist camera's cells change their place; 0
            for a camera that stands still.
    """

    def __init__(self, channels: int, cells: int, pose_dim: int, label_dim: int):
        super().__init__()
        self.read = nn.Linear(channels, _HIDDEN)
        self.place = nn.Parameter(torch.randn(cells, _HIDDEN) * 0.3)
        self.pose = nn.Linear(pose_dim, _HIDDEN, bias=False) if pose_dim else None
        self.vote = nn.Linear(_HIDDEN, 1 + label_dim)
        self.base = nn.Parameter(torch.zeros(cells, label_dim))
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, grid: Tensor, pose: Tensor) -> Votes:
        """(B, cells, channels) and (B, pose_dim) to votes."""
        placed = self.read(grid)  # (B, cells, hidden)
        placed = placed + self.place.to(placed.dtype)
        if self.pose is not None:
            placed = placed + self.pose(pose)[:, None]
        vote = self.vote(F.relu(placed, inplace=True)).float()
        scores = torch.cat([vote[..., 0], self.nothing.expand(len(vote), 1)], dim=1)
        return Votes(scores.log_softmax(dim=1), vote[..., 1:] + _BASE_GAIN * self.base)


def votes_of(pointers: Sequence[Pointer], grid: Tensor, pose: Tensor) -> list[Votes]:
    """What each of `pointers` makes of one grid, as if each were called.

    Together, because a policy that acts looks at one image at a time: there, ten small products cost nearly
    ten times what a larger one does.
    """
    lengths = {pointer.vote.out_features for pointer in pointers}
    if len(pointers) < 2 or len(lengths) > 1:
        return [pointer(grid, pose) for pointer in pointers]
    batch, cells = grid.shape[:2]
    weight, bias = (torch.cat([getattr(p.read, name) for p in pointers]) for name in ("weight", "bias"))
    placed = F.linear(grid, weight, bias)  # (B, cells, pointers * hidden)
    placed = placed + torch.cat([pointer.place for pointer in pointers], dim=1).to(placed.dtype)
    turned = [pointer.pose.weight for pointer in pointers if pointer.pose is not None]
    if turned:
        placed = placed + F.linear(pose, torch.cat(turned))[:, None]
    hidden = F.relu(placed, inplace=True).view(batch * cells, len(pointers), _HIDDEN).transpose(0, 1)
    weight = torch.stack([pointer.vote.weight.T for pointer in pointers])  # (pointers, hidden, 1 + d)
    bias = torch.stack([pointer.vote.bias for pointer in pointers])[:, None]
    vote = torch.baddbmm(bias, hidden, weight).float().view(len(pointers), batch, cells, -1)
    nothing = torch.stack([pointer.nothing for pointer in pointers])[:, None].expand(-1, batch, 1)
    log_weight = torch.cat([vote[..., 0], nothing], dim=2).log_softmax(dim=2)
    base = torch.stack([pointer.base for pointer in pointers])[:, None]
    return [Votes(*each) for each in zip(log_weight, vote[..., 1:] + _BASE_GAIN * base, strict=True)]


def pointing_loss(votes: Votes, label_z: Tensor) -> Tensor:
    """Negative log-likelihood of each label (B, d) under its mixture, up to a constant, (B,)."""
    distance = (votes.position - label_z[:, None]).square().sum(dim=2).add(1e-6).sqrt() / _SPREAD
    distance = F.pad(distance, (0, 1), value=_NOTHING_DISTANCE)
    return -torch.logsumexp(votes.log_weight - distance, dim=1)


def pointed(votes: Votes) -> Tensor:
    """The mode of the mixture and the weight behind it, (B, d + 1).

    The likeliest cell chooses the candidate, and its neighbours that vote for about the same place refine it
    (one step of mean shift), so that the position is finer than a cell and never between two candidates.
    """
    weight = votes.log_weight[:, :-1].exp()
    best = weight.argmax(dim=1)
    centre = votes.position[torch.arange(len(best)), best]
    near = (
        (votes.position.detach() - centre.detach()[:, None]).square().sum(dim=2).neg().div(_SPREAD**2).exp()
    )
    support = weight * near  # (B, cells)
    total = support.sum(dim=1, keepdim=True)
    position = (support[:, :, None] * votes.position).sum(dim=1) / total.clamp(min=1e-6)
    return torch.cat([position, total], dim=1)


def pointed_together(votes: Sequence[Votes]) -> list[Tensor]:
    """`pointed` of each of `votes`, computed at once where they are alike."""
    if len({vote.position.shape for vote in votes}) != 1:
        return [pointed(vote) for vote in votes]
    joined = Votes(
        torch.cat([vote.log_weight for vote in votes]), torch.cat([vote.position for vote in votes])
    )
    return list(pointed(joined).chunk(len(votes)))


def attended(votes: Votes, grid: Tensor) -> Tensor:
    """What the cells show that the mixture believes in, (B, channels) from a grid (B, cells, channels)."""
    weight = votes.log_weight[:, :-1].detach().exp().to(grid.dtype)
    return torch.bmm(weight[:, None], grid)[:, 0]

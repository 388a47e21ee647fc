"""Frames ready to train on, as compact arrays: about a kilobyte each, and no pixels.

A chunk of H actions is not stored with its frame but cut from the episode's actions when a batch is made:
stored, it would be the larger half of the memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sop_bench.episode import Episode
from sop_bench.posttrain.base import Selection

_BLOCK_ROWS = 1 << 15


class GrowingArray:
    """Rows that are only ever appended, in blocks: growing never copies, so memory has no peaks.

    Args:
        row_shape: Shape of one row.
    """

    def __init__(self, row_shape: tuple[int, ...], dtype: DTypeLike):
        self._row_shape, self._dtype = row_shape, np.dtype(dtype)
        self._blocks: list[NDArray] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def nbytes(self) -> int:
        """Bytes of the rows (pages of a block that were never written cost nothing)."""
        return self._length * int(np.prod(self._row_shape, dtype=int)) * self._dtype.itemsize

    def append(self, rows: NDArray) -> None:
        done = 0
        while done < len(rows):
            place = self._length % _BLOCK_ROWS
            if place == 0:
                self._blocks.append(np.empty((_BLOCK_ROWS, *self._row_shape), self._dtype))
            part = rows[done : done + _BLOCK_ROWS - place]
            self._blocks[-1][place : place + len(part)] = part
            self._length += len(part)
            done += len(part)

    def take(self, index: NDArray[np.integer]) -> NDArray:
        """Copies of the rows at `index`, of any shape."""
        flat = index.ravel()
        taken = np.empty((len(flat), *self._row_shape), self._dtype)
        block = flat // _BLOCK_ROWS
        for number in np.unique(block):
            here = block == number
            taken[here] = self._blocks[number][flat[here] % _BLOCK_ROWS]
        return taken.reshape(*index.shape, *self._row_shape)

    def array(self) -> NDArray:
        """All rows in one array."""
        return self.take(np.arange(self._length))


@dataclass(frozen=True)
class FrameRows:
    """B frames with their chunks, as arrays; shapes as in `sop_bench.policy.batch.TrainingBatch`.

    Attributes:
        episode: (B,) numbers of episodes, in order of ingestion.
        step: (B,) steps within them.
    """

    episode: NDArray[np.int32]
    step: NDArray[np.int32]
    features: NDArray[np.float32]
    state: NDArray[np.float32]
    commanded_rad: NDArray[np.float32]
    chunk_rad: NDArray[np.float32]
    valid: NDArray[np.bool_]


class FrameTable:
    """All trainable frames, in order of ingestion.

    Args:
        feature_dim: F, 0 if the encoder is trained too and features cannot be kept.
        state_dim, action_dim: P and A.
        horizon: H, actions in a chunk.
    """

    def __init__(self, feature_dim: int, state_dim: int, action_dim: int, horizon: int):
        self._horizon = horizon
        # Half precision keeps three decimals of features that a bfloat16 network reads with two.
        self._features = GrowingArray((feature_dim,), np.float16)
        self._state = GrowingArray((state_dim,), np.float32)
        self._commanded = GrowingArray((action_dim,), np.float32)
        # Columns: episode, step, row of the first action, valid steps, hold after.
        self._index = GrowingArray((5,), np.int32)
        self._actions = GrowingArray((action_dim,), np.float32)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def nbytes(self) -> int:
        return sum(column.nbytes for column in self._columns().values())

    def _columns(self) -> dict[str, GrowingArray]:
        return {
            "features": self._features,
            "state": self._state,
            "commanded": self._commanded,
            "index": self._index,
            "actions": self._actions,
        }

    def append(
        self, number: int, episode: Episode, selection: Selection, features: NDArray[np.floating]
    ) -> NDArray[np.int64]:
        """Add the selected frames of an episode and return their rows.

        Args:
            number: The episode's number.
            features: (K, F) of the K selected frames.
        """
        frames, steps = episode.frames, selection.steps
        first = len(self)
        first_action = len(self._actions) + steps
        hold = selection.hold_after.astype(np.int32)
        episode_number = np.full(len(steps), number, np.int32)
        self._index.append(
            np.stack([episode_number, steps, first_action, selection.valid_steps, hold], axis=1)
        )
        self._features.append(features)
        self._state.append(frames.state[steps])
        self._commanded.append(frames.commanded_rad[steps])
        self._actions.append(frames.requested_rad)
        return np.arange(first, len(self))

    def take(self, rows: NDArray[np.int64]) -> FrameRows:
        """The frames at `rows`, (B,), with the same chunks as `sop_bench.policy.chunks.chunk_targets`."""
        episode, step, first_action, valid_steps, hold = self._index.take(rows).T
        ahead = np.arange(self._horizon)
        action = first_action[:, None] + np.minimum(ahead, valid_steps[:, None] - 1)  # (B, H)
        return FrameRows(
            episode=episode,
            step=step,
            features=self._features.take(rows).astype(np.float32),
            state=self._state.take(rows),
            commanded_rad=self._commanded.take(rows),
            chunk_rad=self._actions.take(action),
            valid=(ahead < valid_steps[:, None]) | (hold[:, None] > 0),
        )

    def save(self) -> dict[str, NDArray]:
        """Everything, as arrays."""
        return {name: column.array() for name, column in self._columns().items()}

    def load(self, state: dict[str, NDArray]) -> None:
        """Fill this empty table with what `save` gave."""
        for name, column in self._columns().items():
            column.append(state[name])

"""Some rows of a batch: those that are of certain tasks, and the way there and back."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Which of the rows of a batch are meant::

        rows = Rows.of(tasks, {2, 3})
        if len(rows):
            whole = rows.put(network(rows.take(batch)))  # zero in all other rows

    Attributes:
        total: Rows of the whole batch.
        index: (n,) those that are meant, rising; None for all of them, which costs nothing to take or put.
    """

    total: int
    index: Tensor | None = None

    @classmethod
    def of(cls, tasks: Sequence[int], wanted: Container[int] | None) -> Rows:
        """The rows whose task is `wanted`; None wants any."""
        own = [row for row, task in enumerate(tasks) if wanted is None or task in wanted]
        return cls(len(tasks), None if len(own) == len(tasks) else torch.tensor(own, dtype=torch.int64))

    def __len__(self) -> int:
        return self.total if self.index is None else len(self.index)

    def among(self, outer: Rows) -> Rows:
        """These rows of a batch of `outer`'s rows, as rows of the batch that `outer` was taken from."""
        if outer.index is None:
            return self
        return Rows(outer.total, outer.index if self.index is None else outer.index[self.index])

    def take(self, values: Tensor) -> Tensor:
        """(total, ...) to (n, ...)."""
        return values if self.index is None else values[self.index]

    def put(self, values: Tensor) -> Tensor:
        """(n, ...) to (total, ...), zero in the rows that are not meant."""
        if self.index is None:
            return values
        return values.new_zeros(self.total, *values.shape[1:]).index_copy(0, self.index, values)

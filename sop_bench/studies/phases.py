"""How a command of several phases tells how far it is."""

from __future__ import annotations

from typing import Protocol


class PhaseProgress(Protocol):
    """Told what is going on, what of it is done and to be done, and the loss of a step of training."""

    def __call__(self, phase: str, done: int, total: int, loss: float | None = None, /) -> None: ...


def say_nothing(phase: str, done: int, total: int, loss: float | None = None, /) -> None:
    """A `PhaseProgress` that nobody listens to."""

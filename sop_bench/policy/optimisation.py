"""The recipe shared by pretraining and post-training: AdamW, a clipped gradient, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW with one warm-up and one cosine decay.

    Attributes:
        learning_rate: At the top of the cycle.
        warm_up: Share of the steps over which the rate rises linearly.
        weight_decay, betas: Of AdamW.
        clip_norm: Largest norm of a gradient.
        average_decay: Of the exponential average of the weights, which is what acts.
    """

    learning_rate: float = 1e-3
    warm_up: float = 0.05
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.95)
    clip_norm: float = 1.0
    average_decay: float = 0.99

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of `step` out of `steps`."""
        rising = max(1.0, self.warm_up * steps)
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        done = (step - rising) / max(1.0, steps - rising)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def adamw(parameters: Sequence[nn.Parameter], config: OptimiserConfig) -> torch.optim.AdamW:
    """The fused optimiser: one pass over memory for each parameter."""
    return torch.optim.AdamW(
        parameters,
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
        fused=True,
    )


def descend(
    loss: Tensor,
    optimiser: torch.optim.Optimizer,
    parameters: Iterable[nn.Parameter],
    *,
    learning_rate: float,
    clip_norm: float,
    share: Callable[[], None] = lambda: None,
) -> None:
    """One optimiser step on a scalar `loss`.

    Args:
        share: Called when the gradients are there and before they are clipped.
    """
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    share()
    nn.utils.clip_grad_norm_(parameters, clip_norm)
    optimiser.step()


class WeightAverage:
    """Exponential average of weights.

    Args:
        weights: Where it starts, by name; copied.
        decay: Share of the old average that is kept at each update, in the long run.
        forgets_start: The decay grows from 0.1 with the number of updates n, as (1 + n) / (10 + n), so that
            the average follows quickly at first and is calm later.
    """

    def __init__(self, weights: Mapping[str, Tensor], decay: float, *, forgets_start: bool = False):
        self.decay, self._forgets_start = decay, forgets_start
        self._names = list(weights)
        self._values = [weights[name].detach().clone() for name in self._names]

    def update(self, weights: Mapping[str, Tensor], updates: int = 0) -> None:
        """Move towards `weights`, which have the same names, after so many earlier updates."""
        decay = min(self.decay, (1 + updates) / (10 + updates)) if self._forgets_start else self.decay
        with torch.no_grad():
            for name, value in zip(self._names, self._values, strict=True):
                value.lerp_(weights[name], 1 - decay)

    def weights(self) -> dict[str, Tensor]:
        """Copies of the averages, by name."""
        return {name: value.clone() for name, value in zip(self._names, self._values, strict=True)}

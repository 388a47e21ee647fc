"""SOP's adaptive sampler (paper Eq. 3): which task, and how much of it online, each sample comes from.

Tasks are uniform. Within task m the online share follows the training losses of the last W learner steps::

    omega_on = exp(alpha * l_on) / (exp(alpha * l_on) + exp(l_off)),   clipped to [0.2, 0.8]

The loop that uses it, in `sop_bench.learner.learner`::

    draw = sampler.draw(frame_counts, batch_size, rng)      # (B,) tasks and sources
    ... loss of each sample ...
    sampler.observe(draw, losses)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import ConfigurationError, unknown_name

OFFLINE, ONLINE = 0, 1

Kind = Literal["adaptive", "fixed", "proportional"]


@dataclass(frozen=True)
class SamplerConfig:
    """How online and offline data are mixed.

    Attributes:
        kind: ``adaptive`` is the paper's; ``fixed`` (always `cold_start`) and ``proportional`` (to the
            number of frames) are for ablations.
        alpha: Boost of the online loss. The paper says only that it is above 1.
        loss_scale: Multiplies both losses first: flow losses of 0.1 would hardly move the share.
        window_steps: W, learner steps over which losses are averaged.
        lowest, highest: Clip of the online share.
        cold_start: Online share until both windows have a loss.
    """

    kind: Kind = "adaptive"
    alpha: float = 1.5
    loss_scale: float = 1.0
    window_steps: int = 200
    lowest: float = 0.2
    highest: float = 0.8
    cold_start: float = 0.5

    def __post_init__(self):
        if self.kind not in get_args(Kind):
            raise unknown_name("sampler kind", self.kind, get_args(Kind))
        if not 0 <= self.lowest <= self.cold_start <= self.highest <= 1 or self.window_steps < 1:
            raise ConfigurationError(
                f"SamplerConfig got lowest={self.lowest}, cold_start={self.cold_start}, "
                f"highest={self.highest}, window_steps={self.window_steps}; allowed: 0 <= lowest <= "
                f"cold_start <= highest <= 1, and a window of at least 1 step."
            )


@dataclass(frozen=True)
class Draw:
    """Where the B samples of a batch come from: indices of tasks (B,), and `ONLINE` or `OFFLINE` (B,)."""

    task: NDArray[np.int64]
    source: NDArray[np.int64]


@dataclass(frozen=True)
class SamplerRow:
    """The state of one task's sampling at a learner step; losses are window means, NaN while empty."""

    learner_step: int
    task: str
    omega_on: float
    loss_on: float
    loss_off: float


def online_share(loss_on: float, loss_off: float, config: SamplerConfig) -> float:
    """Eq. 3 with its clip; the quotient of exponentials is a logistic function, which cannot overflow."""
    logit = config.loss_scale * (config.alpha * loss_on - loss_off)
    share = 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
    return min(max(share, config.lowest), config.highest)


class AdaptiveSampler:
    """Mixes tasks and sources.

    Args:
        tasks: Names, in the order of the indices used here.
        config: How sources are mixed.
    """

    def __init__(self, tasks: Sequence[str], config: SamplerConfig):
        self.tasks, self.config = tuple(tasks), config
        self.learner_step = 0
        # A ring by learner step, NaN where a step drew no sample of that task and source.
        self._losses = np.full((config.window_steps, len(self.tasks), 2), np.nan)
        self._shares = np.full(len(self.tasks), np.nan)

    def mean_losses(self) -> NDArray[np.float64]:
        """(tasks, 2) means over the windows, offline then online; NaN where a window is empty."""
        known = ~np.isnan(self._losses)
        count = known.sum(axis=0)
        total = np.where(known, self._losses, 0.0).sum(axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def shares(self, frames: NDArray[np.integer]) -> NDArray[np.float64]:
        """The online share of each task, given the frames there are: (tasks, 2), offline then online."""
        losses = self.mean_losses()
        return np.array([self._share(frames[m], losses[m]) for m in range(len(self.tasks))])

    def _share(self, frames: NDArray[np.integer], losses: NDArray[np.float64]) -> float:
        if frames[ONLINE] == 0:
            return 0.0
        if frames[OFFLINE] == 0:
            return 1.0
        if self.config.kind == "proportional":
            return float(frames[ONLINE] / frames.sum())
        if self.config.kind == "fixed" or np.isnan(losses).any():
            return self.config.cold_start
        return online_share(float(losses[ONLINE]), float(losses[OFFLINE]), self.config)

    def draw(self, frames: NDArray[np.integer], batch_size: int, rng: np.random.Generator) -> Draw:
        """Tasks and sources of a batch. Tasks without any frame are left out.

        Args:
            frames: (tasks, 2) how many frames there are, offline then online.

        Raises:
            ConfigurationError: There are no frames at all.
        """
        usable = np.flatnonzero(frames.sum(axis=1))
        if len(usable) == 0:
            raise ConfigurationError(
                f"There is nothing to train on for {', '.join(self.tasks)}: no demonstration was ingested, "
                f"and no episode has arrived. Give demonstrations of these tasks."
            )
        self._shares = self.shares(frames)
        task = usable[rng.integers(len(usable), size=batch_size)]
        source = (rng.random(batch_size) < self._shares[task]).astype(np.int64)
        return Draw(task, source)

    def observe(self, draw: Draw, losses: NDArray[np.floating]) -> None:
        """Enter the loss of each sample, (B,), of one learner step into the windows."""
        group = 2 * draw.task + draw.source
        size = 2 * len(self.tasks)
        count = np.bincount(group, minlength=size)
        total = np.bincount(group, weights=losses, minlength=size)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        self._losses[self.learner_step % self.config.window_steps] = mean.reshape(-1, 2)
        self.learner_step += 1

    def rows(self) -> list[SamplerRow]:
        """One row per task: the share last drawn with, and the loss means now."""
        losses = self.mean_losses()
        return [
            SamplerRow(
                self.learner_step,
                task,
                float(self._shares[m]),
                *(float(losses[m, s]) for s in (ONLINE, OFFLINE)),
            )
            for m, task in enumerate(self.tasks)
        ]

    def save(self) -> dict[str, NDArray]:
        """Everything that must survive a restart, as arrays."""
        return {
            "losses": self._losses.copy(),
            "shares": self._shares.copy(),
            "learner_step": np.array([self.learner_step], np.int64),
        }

    def load(self, state: dict[str, NDArray]) -> None:
        """The inverse of `save`.

        Raises:
            ConfigurationError: The state is of other tasks or another window.
        """
        if state["losses"].shape != self._losses.shape:
            raise ConfigurationError(
                f"The saved sampler has windows of shape {state['losses'].shape} (steps, tasks, sources); "
                f"allowed: {self._losses.shape}. Resume with the settings the run was started with."
            )
        self._losses, self._shares = state["losses"].copy(), state["shares"].copy()
        self.learner_step = int(state["learner_step"][0])

"""The optimiser of post-training: AdamW after a short warm-up, with an average of the weights on the side.

It always starts fresh: post-training takes weights from a checkpoint, and nothing else. The learning rate
stays constant, because an online run has no last step to decay to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sop_bench.errors import SopBenchError
from sop_bench.policy.optimisation import OptimiserConfig, WeightAverage, adamw
from sop_bench.policy.vla import Trainable

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class DivergedError(SopBenchError):
    """Training met a loss or a gradient that is not finite: lower the learning rate or check the data."""


@dataclass(frozen=True)
class LearnerConfig:
    """How weights follow data.

    Attributes:
        batch_size: Frames in a gradient step.
        learning_rate: Constant after `warmup_steps` of linear growth.
        ema: Decay of the exponential average of the weights, which is what is published; short at first (see
            `WeightAverage`), because the first corrections teach the most.
        clip_norm: Largest norm of the gradient.
        mode: Train the action head on cached features, or the encoder with it, from pixels. Even ``"all"``
            leaves out the encoder's first layers and its pointers (`VisionLanguageEncoder.only_pretrained`).
    """

    batch_size: int = 128
    learning_rate: float = 5e-4
    warmup_steps: int = 30
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.95)
    ema: float = 0.998
    clip_norm: float = 1.0
    mode: Trainable = "head"

    def learning_rate_at(self, step: int) -> float:
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup_steps))


class Optimiser:
    """Moves parameters, and keeps their average.

    Args:
        parameters: What is trained, by name; the same ones after a restart.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], config: LearnerConfig):
        self._parameters, self._config = dict(parameters), config
        self._adamw = adamw(
            list(self._parameters.values()),
            OptimiserConfig(
                learning_rate=config.learning_rate, weight_decay=config.weight_decay, betas=config.betas
            ),
        )
        self._average = WeightAverage(self._parameters, config.ema, forgets_start=True)
        self.steps = 0

    @property
    def average(self) -> dict[str, Tensor]:
        """Copies of the averaged weights, by name."""
        return self._average.weights()

    def step(self, loss: Tensor) -> None:
        """One step down the gradient of a scalar loss.

        Raises:
            DivergedError: The loss or its gradient is not finite; no weight was changed.
        """
        self._adamw.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._parameters.values(), self._config.clip_norm)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise DivergedError(
                f"At learner step {self.steps} the loss is {loss.item():g} and the gradient's norm is "
                f"{norm.item():g}; allowed: finite values. Nothing was changed or published. Lower the "
                f"learning rate ({self._config.learning_rate:g}), or check the newest episodes."
            )
        for group in self._adamw.param_groups:
            group["lr"] = self._config.learning_rate_at(self.steps)
        self._adamw.step()
        self._average.update(self._parameters, self.steps)
        self.steps += 1

    def save(self) -> dict[str, Tensor]:
        """Weights, averages and moments, under ``weight/``, ``average/`` and the moment's name."""
        state = {"steps": torch.tensor([self.steps])}
        state |= {f"average/{name}": value.contiguous() for name, value in self.average.items()}
        for name, parameter in self._parameters.items():
            state[f"weight/{name}"] = parameter.detach().clone(memory_format=torch.contiguous_format)
            for moment, value in self._adamw.state.get(parameter, {}).items():
                state[f"{moment}/{name}"] = value.detach().clone(memory_format=torch.contiguous_format)
        return state

    def load(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `save`."""
        self.steps = int(state["steps"][0])
        with torch.no_grad():
            average = {
                name: torch.empty_like(parameter).copy_(state[f"average/{name}"])
                for name, parameter in self._parameters.items()
            }
            self._average = WeightAverage(average, self._config.ema, forgets_start=True)
            for name, parameter in self._parameters.items():
                parameter.copy_(state[f"weight/{name}"])
                if f"{_MOMENTS[0]}/{name}" in state:  # a head that has had no frame yet has no moments
                    self._adamw.state[parameter] = {
                        moment: _like(parameter, state[f"{moment}/{name}"]) for moment in _MOMENTS
                    }


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """A copy of `value` laid out in memory as `parameter`, which the fused optimiser takes for granted."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value.clone()

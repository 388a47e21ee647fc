"""Behaviour cloning: the action head learns from demonstrations, every task as often as the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sop_bench.episode import decode_png, load_episode
from sop_bench.errors import ConfigurationError
from sop_bench.policy.batch import TrainingBatch
from sop_bench.policy.chunks import chunk_targets, supervised_steps
from sop_bench.policy.optimisation import OptimiserConfig, WeightAverage, adamw, descend
from sop_bench.policy.vla import CompactVLA, single_thread


@dataclass(frozen=True)
class CloningConfig:
    """Behaviour cloning of the action head on cached features.

    Attributes:
        steps, batch_size: Gradient steps and frames in each.
        optimiser: See `OptimiserConfig`.
    """

    steps: int = 1500
    batch_size: int = 128
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)


@dataclass(frozen=True)
class Demonstrated:
    """The N frames of demonstrations that the demonstrator controlled.

    Attributes:
        frames: With cached features.
        task: (N,) index into `tasks`, rising: the frames of a task stand together.
        tasks: Names, in alphabetical order.
    """

    frames: TrainingBatch
    task: Tensor
    tasks: tuple[str, ...]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` rows, with every task equally likely, as in post-training, and its frames too."""
        if len(self.tasks) == 1:
            return torch.randint(len(self.frames), (count,), generator=generator)
        sizes = torch.bincount(self.task, minlength=len(self.tasks))
        starts = sizes.cumsum(0) - sizes
        task = torch.randint(len(self.tasks), (count,), generator=generator)
        place = (torch.rand(count, generator=generator, dtype=torch.float64) * sizes[task]).long()
        return starts[task] + place


@dataclass(frozen=True)
class Cloned:
    """How cloning ended: mean losses over the last tenth of the steps.

    Attributes:
        loss: Over all samples.
        task_loss: Over those of each task, by name.
    """

    loss: float
    task_loss: Mapping[str, float]


def behaviour_cloning(
    policy: CompactVLA,
    files: Sequence[Path],
    config: CloningConfig,
    generator: torch.Generator,
    on_progress: Callable[[int, float], None] = lambda step, loss: None,
) -> Cloned:
    """Fit the normaliser and train the action head on demonstrations; the encoder stays as it is.

    Args:
        files: Episodes, as `sop_bench.studies.demos` keeps them.
        generator: Source of batches and noise.
        on_progress: Told the steps done and the loss.

    Raises:
        ConfigurationError: A demonstration lacks its images, or the policy takes it for another task.
    """
    demonstrated = load_demonstrated(policy, files)
    frames, names = demonstrated.frames, demonstrated.tasks
    policy.normaliser.fit(
        frames.state, frames.commanded_rad, frames.chunk_rad, frames.valid, policy.task_of(frames.features)
    )
    parameters = policy.trainable_parameters("head")
    optimiser = adamw(parameters, config.optimiser)
    average = WeightAverage(dict(policy.head.named_parameters()), config.optimiser.average_decay)
    means: list[float] = []
    total, count = torch.zeros(len(names)), torch.zeros(len(names))
    last = max(1, config.steps // 10)
    with single_thread():  # a head this small gains nothing from more, and its bits stay the same
        for step in range(config.steps):
            rows = demonstrated.draw(config.batch_size, generator)
            losses = policy.loss(_rows(frames, rows), generator)
            loss = losses.mean()
            descend(
                loss,
                optimiser,
                parameters,
                learning_rate=config.optimiser.rate(step, config.steps),
                clip_norm=config.optimiser.clip_norm,
            )
            average.update(dict(policy.head.named_parameters()))
            means.append(loss.item())
            if step >= config.steps - last:
                total.index_add_(0, demonstrated.task[rows], losses.detach().float())
                count.index_add_(0, demonstrated.task[rows], torch.ones(len(rows)))
            on_progress(step + 1, means[-1])
    policy.head.load_state_dict(average.weights(), strict=False)
    return Cloned(float(np.mean(means[-last:])), dict(zip(names, (total / count).tolist(), strict=True)))


def load_demonstrated(policy: CompactVLA, files: Sequence[Path]) -> Demonstrated:
    """Read demonstrations and encode what the demonstrator saw in the frames that it controlled.

    Raises:
        ConfigurationError: A demonstration lacks its images, or the policy takes it for another task.
    """
    parts: dict[str, list[tuple[NDArray, ...]]] = {}
    instructions: dict[str, list[str]] = {}
    for file in files:
        episode = load_episode(file, cameras=policy.cameras)
        header = episode.header
        steps, valid_steps, hold_after = supervised_steps(episode.frames, success=header.success)
        if not len(steps):
            continue
        images = {
            camera: np.stack(
                [decode_png(_recorded(episode.images_png[camera][step], file)) for step in steps]
            )
            for camera in policy.cameras
        }
        state = episode.frames.state[steps]
        chunk_rad, valid = chunk_targets(episode.frames, steps, valid_steps, hold_after, policy.chunk_steps)
        features = policy.encode(images, [header.instruction] * len(steps), state)
        columns = (features, state, episode.frames.commanded_rad[steps], chunk_rad, valid)
        parts.setdefault(header.task, []).append(columns)
        instructions.setdefault(header.task, []).append(header.instruction)
    policy.recogniser.check(instructions, policy.tokenizer)
    names = tuple(sorted(parts))
    by_task = [part for name in names for part in parts[name]]
    task = [torch.full((sum(len(part[0]) for part in parts[n]),), i) for i, n in enumerate(names)]
    frames = TrainingBatch(
        *(torch.from_numpy(np.concatenate(column)) for column in zip(*by_task, strict=True))
    )
    return Demonstrated(frames, torch.cat(task), names)


def _rows(frames: TrainingBatch, rows: Tensor) -> TrainingBatch:
    return TrainingBatch(
        features=frames.features[rows],
        state=frames.state[rows],
        commanded_rad=frames.commanded_rad[rows],
        chunk_rad=frames.chunk_rad[rows],
        valid=frames.valid[rows],
    )


def _recorded(png: bytes | None, file: Path) -> bytes:
    if png is None:
        raise ConfigurationError(
            f"{file} lacks images of frames that the demonstrator controlled; allowed: episodes recorded "
            f"with all pixels. Collect the demonstrations again."
        )
    return png

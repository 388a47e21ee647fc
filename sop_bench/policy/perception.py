"""Perception pretraining: the encoder learns to read out what a simulator knows of a scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sop_bench.errors import ConfigurationError, ContractError
from sop_bench.policy.config import PolicyConfig
from sop_bench.policy.freed_memory import keep_freed_memory
from sop_bench.policy.optimisation import OptimiserConfig, WeightAverage, adamw, descend
from sop_bench.policy.pointer import pointing_loss
from sop_bench.policy.precision import training_precision
from sop_bench.policy.scenes import Images, Scenes
from sop_bench.policy.side_by_side import Team, working_side_by_side
from sop_bench.policy.vision import Sight, VisionLanguageEncoder
from sop_bench.policy.vla import CompactVLA, single_thread

_LOSS_KNEE = 0.03  # z units; errors below it are squared. About 3 mm for positions on a desk
_GROUNDING_WEIGHT = 2.0  # brings the read-out's loss to the size of the pointers'


@dataclass(frozen=True)
class PerceptionConfig:
    """How long and how fast the encoder is trained.

    Attributes:
        steps, batch_size: Gradient steps and scenes in each.
        optimiser: See `OptimiserConfig`.
        workers: Processes that share each batch. The last bits depend on their number.

    Raises:
        ConfigurationError: A batch cannot be shared evenly.
    """

    steps: int = 14_000
    batch_size: int = 128
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(learning_rate=3e-3))
    workers: int = 1

    def __post_init__(self):
        if self.workers < 1 or self.batch_size % self.workers:
            raise ConfigurationError(
                f"PerceptionConfig.workers is {self.workers} for batches of {self.batch_size}; allowed: "
                f"divisors of the batch."
            )


@dataclass(frozen=True)
class _Material:
    """What an encoder is trained on: N scenes, as tensors, with their images wherever they are."""

    images: Mapping[str, Images]
    tokens: Tensor
    state: Tensor
    targets_z: Tensor  # (N, label_dim), NaN where a scene has none
    task: Tensor | None

    def batches(self, config: PerceptionConfig, generator: torch.Generator, team: Team) -> Iterator[_Batch]:
        """Each step's rows of this process, read while the step before is taken."""
        with ThreadPoolExecutor(1) as reader:
            waiting: Future[_Batch] | None = None
            for _ in range(config.steps):
                drawn = torch.randint(len(self.state), (config.batch_size,), generator=generator)
                coming = reader.submit(self._read, team.own(drawn))
                if waiting:
                    yield waiting.result()
                waiting = coming
            if waiting:
                yield waiting.result()

    def _read(self, rows: Tensor) -> _Batch:
        images = {name: torch.from_numpy(values[rows.numpy()]) for name, values in self.images.items()}
        return _Batch(images, rows)


class _Batch(NamedTuple):
    images: Mapping[str, Tensor]
    rows: Tensor


def train_perception(
    policy: CompactVLA,
    scenes: Scenes,
    config: PerceptionConfig,
    generator: torch.Generator,
    on_progress: Callable[[int, float], None] = lambda step, loss: None,
    *,
    keep_statistics: bool = False,
) -> None:
    """Train `policy.encoder` on `scenes` and leave it frozen, with its statistics set.

    One thread a process: a second one gained little on these sizes, and the bits must not depend on the
    machine's.

    Args:
        generator: Source of the batches; it is not advanced.
        on_progress: Called with the steps done and the loss.
        keep_statistics: Leave them as they are, for an encoder that has been trained with them.

    Raises:
        ContractError: The scenes have other labels than the policy's configuration.
        SopBenchError: A process that trains along ended early.
    """
    encoder = policy.encoder
    targets, state = _concatenated(policy.config, scenes), torch.from_numpy(scenes.state)
    tokens = policy.tokenizer(scenes.instructions.tolist())
    if not keep_statistics:
        _set_statistics(encoder, "state", state)
        _set_statistics(encoder, "label", targets)
    material = _Material(
        {name: scenes.images[name] for name in policy.cameras},
        tokens,
        state,
        (targets - encoder.label_mean) / encoder.label_scale,
        policy.recogniser(tokens) if policy.config.tasks else None,
    )
    work = encoder, policy.config, material, config, generator.get_state()
    with working_side_by_side(config.workers, _train, *work) as team:
        weights = _train(team, *work, on_progress)
    encoder.load_state_dict(weights, strict=False)
    encoder.requires_grad_(False)
    policy.forget()


def _train(
    team: Team,
    encoder: VisionLanguageEncoder,
    policy: PolicyConfig,
    material: _Material,
    config: PerceptionConfig,
    generator_state: Tensor,
    on_progress: Callable[[int, float], None] = lambda step, loss: None,
) -> dict[str, Tensor]:
    """The averaged weights after all steps, each of which the whole team takes."""
    keep_freed_memory()
    generator = torch.Generator()
    generator.set_state(generator_state)
    encoder.requires_grad_(True)
    parameters = list(encoder.parameters())
    optimiser = adamw(parameters, config.optimiser)
    average = WeightAverage(dict(encoder.named_parameters()), config.optimiser.average_decay)
    with single_thread():
        for step, (images, rows) in enumerate(material.batches(config, generator, team)):
            task = None if material.task is None else material.task[rows]
            with training_precision():
                language = encoder.embed_language(material.tokens[rows])
                sight = encoder.see(images, language, material.state[rows], task)
            loss = _loss(policy, sight, material.targets_z[rows])
            shared: list[Tensor] = []
            descend(
                loss,
                optimiser,
                parameters,
                learning_rate=config.optimiser.rate(step, config.steps),
                clip_norm=config.optimiser.clip_norm,
                share=lambda loss=loss, shared=shared: shared.append(team.average(parameters, loss)),
            )
            average.update(dict(encoder.named_parameters()))
            on_progress(step + 1, shared[0].item())
    return average.weights()


def _loss(config: PolicyConfig, sight: Sight, labels_z: Tensor) -> Tensor:
    """Mean over scenes; what a scene does not have does not count, and its other labels count the more.

    So a scene weighs the same however many labels its task has.
    """
    known = ~labels_z.isnan()
    labels_z = labels_z.nan_to_num(0.0)  # whatever stands there: it is given no weight
    weight = known * (known.shape[1] / known.sum(dim=1, keepdim=True))
    grounding = F.smooth_l1_loss(sight.labels, labels_z, beta=_LOSS_KNEE, reduction="none").mul(weight).mean()
    pointing: list[Tensor] = []
    for camera in sight.votes:
        for vote, place in zip(sight.votes[camera], config.pointed_at(camera), strict=True):
            if vote is not None:
                rows, votes = vote
                loss = pointing_loss(votes, rows.take(labels_z[:, place]))
                has = rows.take(known[:, place].all(dim=1))
                pointing.append(loss.where(has, 0.0).sum() / len(labels_z))
    return _GROUNDING_WEIGHT * grounding + sum(pointing, start=torch.zeros(()))


def label_lengths(scenes: Scenes) -> dict[str, int]:
    """Name and length of each label, as `PolicyConfig.for_robot` takes them."""
    return {name: values.shape[1] for name, values in scenes.labels.items()}


def _concatenated(config: PolicyConfig, scenes: Scenes) -> Tensor:
    """(N, label_dim) float32 in the order of the configuration; NaN where a scene lacks a label."""
    if label_lengths(scenes) != dict(config.labels):
        raise ContractError(
            f"The scenes are labelled with {label_lengths(scenes)}; allowed for this policy: "
            f"{dict(config.labels)}. Render the scenes again, or make a policy for these labels."
        )
    return torch.from_numpy(np.concatenate([scenes.labels[name] for name, _ in config.labels], axis=1))


def _set_statistics(encoder: VisionLanguageEncoder, name: str, values: Tensor) -> None:
    """Mean and scale of each column of `values`, (N, d), over the scenes that have it."""
    known = ~values.isnan()
    mean, scale = encoder.get_buffer(f"{name}_mean"), encoder.get_buffer(f"{name}_scale")
    for pattern in known.T.unique(dim=0):  # labels of the same scenes at once
        columns = (pattern == known.T).all(dim=1)
        having = values[pattern][:, columns]
        mean[columns] = having.mean(dim=0)
        scale[columns] = having.std(dim=0, correction=0) + 0.02

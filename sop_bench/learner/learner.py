"""The learner: takes episodes in, makes gradient steps, gives weights out.

The loop around it is the fleet's::

    learner.ingest(path, source=ONLINE, uploaded_s=..., ingested_s=...)    # whatever has arrived
    report = learner.train(25)
    version = learner.publish(path, number=7)

What is random in a step depends on the seed and the number of the step alone, so that a learner that was
saved and loaded goes on with the same bits.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from sop_bench.episode import load_episode
from sop_bench.errors import CorruptDataError, unknown_name
from sop_bench.learner.features import KnownFeatures
from sop_bench.learner.frames import FrameTable
from sop_bench.learner.inputs import PolicyInputs
from sop_bench.learner.optimiser import LearnerConfig, Optimiser
from sop_bench.learner.replay import Replay
from sop_bench.learner.sampler import OFFLINE, AdaptiveSampler, SamplerConfig, SamplerRow
from sop_bench.learner.state import LearnerState
from sop_bench.policy.base import PolicyVersion
from sop_bench.policy.checkpoint import load_checkpoint, save_update
from sop_bench.policy.freed_memory import keep_freed_memory
from sop_bench.policy.vla import single_thread
from sop_bench.posttrain.base import Algorithm
from sop_bench.posttrain.behaviour_cloning import BehaviourCloning
from sop_bench.posttrain.hg_dagger import BalancesInterventions, HGDagger


@dataclass(frozen=True)
class Ingested:
    """What became of an episode: how many frames are trained on, and the problem if it could not be used."""

    episode_id: str
    frames: int
    problem: str = ""


@dataclass(frozen=True)
class TrainReport:
    """What a span of steps did.

    Attributes:
        loss: Mean over the samples of all steps.
        rows: The sampler's row of each task at the last step.
        first_sampled: Learner step at which episodes were sampled for the first time, by id.
        learning_rate: Of the last step.
    """

    learner_step: int
    loss: float
    rows: tuple[SamplerRow, ...]
    first_sampled: dict[str, int]
    learning_rate: float


class Learner:
    """Post-trains one policy on demonstrations and on what a fleet sends.

    Offline episodes are cloned whatever the algorithm, which chooses from online episodes only.

    Args:
        checkpoint: The pretrained policy to start from.
        tasks: Names of the tasks that are trained on, with equal shares; other episodes are refused.
        seed: Of everything random in training.
        demonstration_features: Features of offline frames that other learners of this process have computed,
            by encoder and episode; added to. The cells of a study share their demonstrations.

    Raises:
        ConfigurationError: There is no such checkpoint.
        CorruptDataError: The checkpoint is damaged.
    """

    def __init__(
        self,
        checkpoint: Path,
        tasks: Sequence[str],
        algorithm: Algorithm | None = None,
        config: LearnerConfig | None = None,
        sampler: SamplerConfig | None = None,
        seed: int = 0,
        demonstration_features: KnownFeatures | None = None,
    ):
        keep_freed_memory()
        self.config = config or LearnerConfig()
        self.tasks = tuple(tasks)
        self._seed = seed
        self._offline, self._online = BehaviourCloning(), algorithm or HGDagger()
        self._policy = load_checkpoint(checkpoint).policy
        self.base = self._policy.version
        self._inputs = PolicyInputs(self._policy, self.config.mode, demonstration_features)
        wanted = {id(parameter) for parameter in self._policy.trainable_parameters(self.config.mode)}
        self._optimiser = Optimiser(
            {name: p for name, p in self._policy.named_parameters() if id(p) in wanted}, self.config
        )
        shape, algorithm = self._policy.config, self._online
        self.replay = Replay(
            self.tasks,
            FrameTable(self._inputs.feature_dim, shape.state_dim, shape.action_dim, self._policy.chunk_steps),
            algorithm.intervention_share if isinstance(algorithm, BalancesInterventions) else None,
        )
        self.sampler = AdaptiveSampler(self.tasks, sampler or SamplerConfig())

    @property
    def learner_step(self) -> int:
        return self._optimiser.steps

    # -------------------------------------------------------------------------------------- data

    def ingest(
        self, path: Path, *, source: int, uploaded_s: float = 0.0, ingested_s: float = 0.0
    ) -> Ingested:
        """Make the episode at `path` trainable, once. A damaged file is left out with a warning.

        Args:
            source: `ONLINE` or `OFFLINE`.
            uploaded_s, ingested_s: Fleet clock, for the record.

        Raises:
            ConfigurationError: It is of a task that is not trained on.
        """
        algorithm = self._offline if source == OFFLINE else self._online
        try:
            # Images are read only if frames are to be trained on: most failures have none.
            episode = load_episode(path)
            if episode.header.task not in self.tasks:
                raise unknown_name("task", episode.header.task, self.tasks, f"It is that of {path}.")
            selection = algorithm.select(episode)
            ingested = Ingested(episode.header.episode_id, len(selection.steps))
            if ingested.episode_id in self.replay:
                return ingested
            features = self._inputs.features(path, episode, selection.steps, shared=source == OFFLINE)
        except CorruptDataError as error:
            warnings.warn(f"Episode left out: {error}", RuntimeWarning, stacklevel=2)
            return Ingested(path.stem, 0, str(error))
        self.replay.add(
            episode,
            selection,
            features,
            source=source,
            path=path,
            uploaded_s=uploaded_s,
            ingested_s=ingested_s,
        )
        return ingested

    # ------------------------------------------------------------------------------------ training

    def train(self, steps: int) -> TrainReport:
        """Make gradient steps.

        Raises:
            DivergedError: A loss is not finite; the weights are those of the step before.
            ConfigurationError: There is nothing to train on.
        """
        first_sampled: dict[str, int] = {}
        total = 0.0
        with single_thread():
            for _ in range(steps):
                loss, fresh = self._step()
                total += loss
                first_sampled |= dict.fromkeys(fresh, self.learner_step)
        return TrainReport(
            learner_step=self.learner_step,
            loss=total / max(1, steps),
            rows=tuple(self.sampler.rows()),
            first_sampled=first_sampled,
            learning_rate=self.config.learning_rate_at(max(0, self.learner_step - 1)),
        )

    def _step(self) -> tuple[float, list[str]]:
        rng = np.random.default_rng([self._seed, self.learner_step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        draw = self.sampler.draw(self.replay.counts, self.config.batch_size, rng)
        rows = self.replay.sample(draw, rng)
        frames, fresh = self.replay.take(rows, self.learner_step + 1)
        losses = self._inputs.losses(frames, self.replay.records, generator)
        loss = losses.mean()
        self._optimiser.step(loss)
        self.sampler.observe(draw, losses.detach().numpy())
        return loss.item(), fresh

    # ----------------------------------------------------------------------------------- publishing

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights that robots are to act with, by name."""
        return {**self._policy.state_for_update(self.config.mode), **self._optimiser.average}

    def publish(self, path: Path, number: int) -> PolicyVersion:
        """Write the averaged weights to `path` as an update of the checkpoint.

        Raises:
            ContractError: A weight is not finite; nothing is written.
        """
        return save_update(self.weights(), path, self.base, number)

    # -------------------------------------------------------------------------------------- restart

    def save(self, directory: Path) -> None:
        """Write everything that must survive a restart; `directory` appears whole or not at all."""
        arrays, records = self.replay.save()
        LearnerState(
            self.base.content_hash, self._optimiser.save(), arrays, self.sampler.save(), records
        ).save(directory)

    def load(self, directory: Path) -> None:
        """Continue from what `save` wrote; this learner must be new, and of the same checkpoint.

        Raises:
            CorruptDataError: Something is missing or damaged, or belongs to another checkpoint.
        """
        try:
            state = LearnerState.load(directory)
            if state.base != self.base.content_hash:
                raise ValueError("it belongs to another checkpoint")
            self.replay.load(state.replay, state.episodes)
            self.sampler.load(state.sampler)
            self._optimiser.load(state.optimiser)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise CorruptDataError(
                f"{directory} is not a state of this learner ({error}); expected what `Learner.save` wrote. "
                f"Delete the folder to start this run again."
            ) from error
        self._policy.forget()

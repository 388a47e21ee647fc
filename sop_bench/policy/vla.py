"""The compact vision-language-action policy.

Everything up to the features is frozen by default, so that post-training runs on cached features::

    features = policy.encode(images, instructions, state)            # once per frame
    batch = TrainingBatch(features, state, commanded_rad, chunk_rad, valid)
    policy.loss(batch, generator).mean().backward()                  # trains policy.trainable_parameters()
    weights = policy.state_for_update()                              # what the fleet needs to catch up
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sop_bench.errors import ContractError
from sop_bench.policy.base import PolicyVersion
from sop_bench.policy.batch import PixelBatch, TrainingBatch
from sop_bench.policy.config import PolicyConfig
from sop_bench.policy.family_heads import action_head
from sop_bench.policy.normaliser import Normaliser, TaskNormaliser
from sop_bench.policy.observed import checked_image, stacked_images, stacked_vectors
from sop_bench.policy.precision import training_precision
from sop_bench.policy.recogniser import Recogniser
from sop_bench.policy.tokenizer import Tokenizer
from sop_bench.policy.vision import VisionLanguageEncoder
from sop_bench.robot import Observation

Trainable = Literal["head", "all"]

_ENCODE_BATCH = 64
_REMEMBERED_INSTRUCTIONS = 1024
# Acting on several: of batches of 4, 8 and 16 a row has the same bits wherever it stands and whatever the
# others hold (measured with AVX-512; of 2 and 3 it has not).
_ROWS_TOGETHER = 4


class CompactVLA(nn.Module):
    """Images, an instruction and proprioception in; a chunk of joint targets out.

    Args:
        config: Shapes; kept in the checkpoint.
        tokenizer: Vocabulary; kept in the checkpoint.
        generator: Source of the initial weights.
        version: Name of the weights.
    """

    def __init__(
        self,
        config: PolicyConfig,
        tokenizer: Tokenizer,
        generator: torch.Generator,
        version: PolicyVersion | None = None,
    ):
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.version = version or PolicyVersion(0, "untrained")
        with _seeded(generator):
            self.encoder = VisionLanguageEncoder(config, tokenizer.size)
            self.head = action_head(config)
        shapes = (config.state_dim, config.joint_names, config.network.chunk_steps)
        self.normaliser = TaskNormaliser(len(config.tasks), *shapes) if config.tasks else Normaliser(*shapes)
        self.recogniser = Recogniser(config.tasks, tokenizer)
        self.encoder.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.trainable_parameters("head")
        self._language: OrderedDict[str, tuple[Tensor, Tensor]] = OrderedDict()

    @property
    def cameras(self) -> tuple[str, ...]:
        return tuple(camera.name for camera in self.config.cameras)

    @property
    def chunk_steps(self) -> int:
        return self.config.network.chunk_steps

    def execute_steps(self, instruction: str) -> int:
        """Steps of a chunk that are executed under this instruction before `act` is called again."""
        task = self._language_of(instruction)[1]
        family = self.config.tasks[int(task)].family if self.config.tasks else ""
        network = self.config.network
        return dict(network.family_execute_steps).get(family, network.execute_steps)

    # -------------------------------------------------------------------------------------- acting

    def act(self, observation: Observation, rng: np.random.Generator) -> NDArray[np.float32]:
        """Absolute joint targets for the next steps, (chunk_steps, action_dim), rad.

        The same observation gives the same bits in any process: one thread, float32, and zero noise as the
        start of the flow, so that `rng` is not drawn from.

        Raises:
            ContractError: A camera is missing or of another size, or a vector of another length.
            ConfigurationError: The instruction has an unknown word.
        """
        del rng
        return self._chunks([observation], 1)[0]

    def act_together(
        self, observations: Sequence[Observation], rngs: Sequence[np.random.Generator]
    ) -> NDArray[np.float32]:
        """What `act` gives for each of N observations, (N, chunk_steps, action_dim), rad, but for rounding.

        A third of the time for eight: weights are fetched once for all. An answer has the same bits in any
        company of the same task (of several tasks, each part of the batch has a size of its own).

        Raises:
            ContractError, ConfigurationError: As `act`.
        """
        del rngs
        rows = -(-len(observations) // _ROWS_TOGETHER) * _ROWS_TOGETHER
        return self._chunks(observations, rows)[: len(observations)]

    def _chunks(self, observations: Sequence[Observation], rows: int) -> NDArray[np.float32]:
        """An answer to each of the observations, the last of them repeated to fill the `rows`."""
        config = self.config
        with torch.inference_mode(), single_thread():
            heard = [self._language_of(seen.instruction) for seen in observations]
            heard += heard[-1:] * (rows - len(heard))
            language, task = (torch.cat(parts) for parts in zip(*heard, strict=True))
            wanted = self.encoder.cameras_for(task.tolist())
            images = {
                camera.name: stacked_images(observations, camera, rows, camera.name in wanted)
                for camera in config.cameras
            }
            state = stacked_vectors(observations, "proprioception", config, rows)
            commanded = stacked_vectors(observations, "commanded_rad", config, rows)
            features = self.encoder.features(images, language, state, task)
            chunk_z = self.head.sample(
                features, self.normaliser.state(state, task), self.normaliser.commanded(commanded, task), task
            )
            chunk_rad = self.normaliser.decode_chunk(chunk_z, commanded, task)
            return self.normaliser.snap_grippers(chunk_rad, task).numpy()

    def encode(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        instructions: Sequence[str],
        state: NDArray[np.floating],
    ) -> NDArray[np.float32]:
        """The frozen features (N, F) of N frames, as `TrainingBatch` takes them; no gradient.

        Computed in fixed slices on one thread, so the same call gives the same bits in any process.

        Args:
            images: Camera name to (N, h, w, 3).
            instructions: N texts.
            state: (N, P) proprioception as observed.

        Raises:
            ContractError: A camera is missing or of another size.
            ConfigurationError: An instruction has an unknown word.
        """
        tokens = self.tokenizer(instructions)
        for camera in self.config.cameras:
            checked_image(images, camera, batched=True)
        features = np.empty((len(instructions), self.config.feature_dim), np.float32)
        with torch.inference_mode(), single_thread():
            for start in range(0, len(instructions), _ENCODE_BATCH):
                part = slice(start, start + _ENCODE_BATCH)
                features[part] = self.features(
                    {name: torch.tensor(images[name][part]) for name in self.cameras},
                    tokens[part],
                    torch.tensor(np.asarray(state[part], np.float32)),
                ).numpy()
        return features

    def features(self, images: Mapping[str, Tensor], tokens: Tensor, state: Tensor) -> Tensor:
        """Everything that is frozen by default: (B, F) float32.

        Args:
            images: Camera name to (B, h, w, 3) uint8.
            tokens: (B, L) from `tokenizer`.
            state: (B, P) proprioception as observed; the encoder needs the pose to read a wrist camera.
        """
        task = self.recogniser(tokens)
        return self.encoder.features(images, self.encoder.embed_language(tokens), state, task)

    def task_of(self, features: Tensor) -> Tensor:
        """(B,) which of its tasks each of the features (B, F) is of; zero for a policy of one task."""
        if not self.config.tasks:
            return torch.zeros(len(features), dtype=torch.int64)
        return features[:, -len(self.config.tasks) :].argmax(dim=1)

    # ------------------------------------------------------------------------------------ training

    def loss(self, batch: TrainingBatch, generator: torch.Generator) -> Tensor:
        """The flow-matching loss of each sample, (B,), in the format of `precision`."""
        with training_precision():
            return self._head_loss(batch.features, batch, generator)

    def loss_from_pixels(self, batch: PixelBatch, generator: torch.Generator) -> Tensor:
        """The same loss, (B,), with gradients into what `trainable_parameters` was asked to train."""
        with training_precision():
            features = self.features(batch.images, batch.tokens, batch.state)
            return self._head_loss(features, batch, generator)

    def _head_loss(
        self, features: Tensor, batch: TrainingBatch | PixelBatch, generator: torch.Generator
    ) -> Tensor:
        task = self.task_of(features)
        return self.head.loss(
            features,
            self.normaliser.state(batch.state, task),
            self.normaliser.commanded(batch.commanded_rad, task),
            self.normaliser.encode_chunk(batch.chunk_rad, batch.commanded_rad, task),
            batch.valid,
            generator,
            task,
        )

    def trainable_parameters(self, mode: Trainable = "head") -> list[nn.Parameter]:
        """The parameters to optimise; all others stop requiring gradients.

        ``"head"`` is the action head. ``"all"`` adds the encoder, but not its first layers and not its
        pointers: see `VisionLanguageEncoder.only_pretrained`. The frozen layers come before all that is
        trained, so a step from pixels runs them without a graph and without a backward pass.
        """
        self.encoder.requires_grad_(mode == "all")
        for parameter in self.encoder.only_pretrained().values():
            parameter.requires_grad_(False)
        self.head.requires_grad_(True)
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def state_for_update(self, mode: Trainable = "head") -> dict[str, Tensor]:
        """Copies of only the weights that training in `mode` changes, by their names in `state_dict`."""
        untouched = {f"encoder.{name}" for name in self.encoder.only_pretrained()}
        return {
            name: value.detach().clone()
            for name, value in self.state_dict().items()
            if name.startswith("head.") or (mode == "all" and name not in untouched)
        }

    def load_update(self, weights: Mapping[str, Tensor], version: PolicyVersion) -> None:
        """Take over the weights of an update made for this policy's base checkpoint.

        Raises:
            ContractError: Weights of another architecture; nothing is changed.
        """
        own = self.state_dict()
        strange = [n for n, value in weights.items() if n not in own or own[n].shape != value.shape]
        if strange or not weights:
            raise ContractError(
                f"Update {version} does not fit this policy: {len(weights)} tensors, of which "
                f"{strange[:3] or 'none'} have no place or another shape here; allowed: what "
                f"`state_for_update` of the same base checkpoint gives. Publish from that checkpoint."
            )
        self.load_state_dict(weights, strict=False)
        self.forget()
        self.version = version

    def forget(self) -> None:
        """Drop the remembered language vectors; call after changing the encoder's weights in place."""
        self._language.clear()

    def _language_of(self, instruction: str) -> tuple[Tensor, Tensor]:
        """The vector of an instruction and the index of its task, (1, language_dim) and (1,)."""
        known = self._language.get(instruction)
        if known is None:
            tokens = self.tokenizer([instruction])
            known = self.encoder.embed_language(tokens), self.recogniser(tokens)
            if len(self._language) >= _REMEMBERED_INSTRUCTIONS:
                self._language.popitem(last=False)
            self._language[instruction] = known
        return known


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """One torch thread inside the block: sums are split over threads, so their bits depend on the number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _seeded(generator: torch.Generator) -> Iterator[None]:
    """Initial weights from `generator`; torch's layers draw them from its global one, which is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        yield

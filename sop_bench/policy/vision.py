"""The visual encoder: camera images, read under an instruction and a pose, become vectors and labels.

It is trained once on random scenes that the simulator labels (`perception`), which stands in for the
pretraining of a vision-language model, and is frozen afterwards by default. Its read-out of the labels is
what the action head sees, as the pointing outputs of a large model would be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sop_bench.policy.camera_encoder import CameraEncoder, FilmBlock, aims_of
from sop_bench.policy.config import MAGNIFIED_SHARES, PolicyConfig
from sop_bench.policy.network import NetworkConfig
from sop_bench.policy.pointer import Pointer, Votes
from sop_bench.policy.rows import Rows
from sop_bench.robot import CameraSpec

_POSE_DIM = 32  # length of the embedding of the pose that modulates the images
_PRETRAINED_PARTS = ("patches", "offset", "reduce", "pointer", "further_pointers")  # of a `CameraEncoder`


class LanguageEncoder(nn.Module):
    """Instruction to vector.

    Word order counts: each place has its own weights. Otherwise the words add up, without a layer that could
    learn their combinations by heart, because what is new in a held-out product is only the combination.
    """

    def __init__(self, vocabulary_size: int, network: NetworkConfig):
        super().__init__()
        self.words = nn.Embedding(vocabulary_size, network.word_dim, padding_idx=0)
        self.mix = nn.Linear(network.max_words * network.word_dim, network.language_dim)
        # Unit scale from the start: a faint instruction is ignored for the first thousands of steps.
        self.norm = nn.LayerNorm(network.language_dim, elementwise_affine=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L) word ids to (B, language_dim)."""
        return self.norm(self.mix(self.words(tokens).flatten(1)))


def _moves(camera: CameraSpec) -> bool:
    return camera.name.startswith("wrist")


class Sight(NamedTuple):
    """What the encoder makes of a batch.

    Attributes:
        labels: (B, label_dim) read-out of the labels, in z units.
        votes: Camera name to the rows and mixtures of its pointers, as in `View`, in the order of
            `PolicyConfig.pointed_at`.
    """

    labels: Tensor
    votes: Mapping[str, Sequence[tuple[Rows, Votes] | None]]


class VisionLanguageEncoder(nn.Module):
    """Images, instruction and pose to the feature vector of the action head.

    The pose takes part because a wrist camera sees the target in its own frame: only with the joint angles
    can that be turned into the base frame of the labels. A camera that stands still must do without: an arm
    tends to be near its target, and a pointer that knows the pose learns that before it looks.
    """

    def __init__(self, config: PolicyConfig, vocabulary_size: int):
        super().__init__()
        network = config.network
        self.config = config
        self.language = LanguageEncoder(vocabulary_size, network)
        self.pose = nn.Sequential(
            nn.Linear(config.state_dim, 2 * _POSE_DIM), nn.ReLU(), nn.Linear(2 * _POSE_DIM, _POSE_DIM)
        )
        self.cameras = nn.ModuleDict(
            {
                camera.name: CameraEncoder(
                    camera,
                    network.of_camera(camera.name),
                    network.language_dim,
                    _POSE_DIM if _moves(camera) else 0,
                    aims_of(config, camera.name),
                    config.looks_with(camera.name),
                )
                for camera in config.cameras
            }
        )
        pointed_dim = sum(encoder.pointed_dim for encoder in self._encoders().values())
        seen_dim = config.vector_dim + _POSE_DIM + pointed_dim
        self.grounding = nn.Sequential(
            nn.Linear(seen_dim, network.grounding_dim),
            nn.ReLU(),
            nn.Linear(network.grounding_dim, network.grounding_dim),
            nn.ReLU(),
        )
        # What is pointed at also goes straight to the labels, which are then only refined.
        self.read_out = nn.Linear(network.grounding_dim + pointed_dim, config.label_dim)
        _initialise(self)
        self.state_mean: Tensor
        self.state_scale: Tensor
        self.label_mean: Tensor
        self.label_scale: Tensor
        for name, length in (("state", config.state_dim), ("label", config.label_dim)):
            self.register_buffer(f"{name}_mean", torch.zeros(length))
            self.register_buffer(f"{name}_scale", torch.ones(length))
        has_label = torch.zeros(len(config.tasks), config.label_dim)
        for row, task in enumerate(config.tasks):
            for name in task.labels:
                has_label[row, config.label_slice(name)] = 1.0
        self.register_buffer("has_label", has_label, persistent=False)
        self.has_label: Tensor  # (tasks, label_dim)

    def only_pretrained(self) -> dict[str, nn.Parameter]:
        """What post-training leaves as pretraining made it, by name in `state_dict`.

        The strided convolutions of the cameras, which look at single pixels and at edges: their gradients
        cost a seventh of a step, and fine-tuning commonly keeps first layers of a pretrained backbone. And
        the pointers, which learn from labels of scenes alone: a policy's loss has no gradient for them.
        """
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if name.startswith("cameras.") and name.split(".")[2] in _PRETRAINED_PARTS
        }

    def embed_language(self, tokens: Tensor) -> Tensor:
        """(B, L) word ids to (B, language_dim)."""
        return self.language(tokens)

    def see(
        self, images: Mapping[str, Tensor], language: Tensor, state: Tensor, task: Tensor | None = None
    ) -> Sight:
        """Everything that is read out of the images, before it is scaled for the action head.

        Args:
            images: Camera name to (B, h, w, 3) uint8.
            language: (B, language_dim) from `embed_language`.
            state: (B, P) proprioception as observed.
            task: (B,) indices of a generalist's tasks, which decide what is looked at.
        """
        pose = self.pose((state - self.state_mean) / self.state_scale)
        tasks = [0] * len(state) if task is None else task.tolist()
        views = {
            name: encoder(images[name], language, pose, tasks) for name, encoder in self._encoders().items()
        }
        # Pointers learn from their own loss alone: that of the read-out would pull two candidates together.
        places = [view.places.detach() for view in views.values()]
        seen = [*(F.relu(view.vector) for view in views.values()), language, pose]
        hidden = self.grounding(torch.cat([*seen, *places], dim=1))
        labels = self.read_out(torch.cat([hidden, *places], dim=1))
        return Sight(labels.float(), {name: view.votes for name, view in views.items()})

    def cameras_for(self, tasks: Sequence[int]) -> frozenset[str]:
        """The cameras that `tasks` look with."""
        return frozenset(
            name
            for name, encoder in self._encoders().items()
            if encoder.looks is None or not encoder.looks.isdisjoint(tasks)
        )

    def _encoders(self) -> dict[str, CameraEncoder]:
        return {name: encoder for name, encoder in self.cameras.items() if isinstance(encoder, CameraEncoder)}

    def features(
        self, images: Mapping[str, Tensor], language: Tensor, state: Tensor, task: Tensor | None = None
    ) -> Tensor:
        """(B, F) float32, of about zero mean and unit scale over the pretraining scenes.

        What is grounded, and nothing else: with the camera vectors beside it, thirty demonstrations were
        learnt by heart (success 0.02-0.27 where the labels alone gave 0.50). The labels are given as they are
        and magnified around zero: most of them are differences of positions, and the last centimetres of an
        approach decide over the grasp.

        Args:
            task: (B,) indices of a generalist's tasks. Labels that the task's scenes never had are zero: what
                the read-out makes up for them would only be something to learn by heart.
        """
        coarse = self.see(images, language, state, task).labels
        from_zero = coarse + self.label_mean / self.label_scale
        copies = [coarse, *(from_zero.div(share).tanh() for share in MAGNIFIED_SHARES)]
        if task is None or not self.config.tasks:
            return torch.cat(copies, dim=1)
        has = self.has_label[task]
        known = F.one_hot(task, len(self.config.tasks)).float()
        return torch.cat([*(copy * has for copy in copies), known], dim=1)

    def labels(
        self, images: Mapping[str, Tensor], language: Tensor, state: Tensor, task: Tensor | None = None
    ) -> Tensor:
        """(B, label_dim) the read-out in the labels' own units, concatenated in the order of the config."""
        return self.see(images, language, state, task).labels * self.label_scale + self.label_mean


def _initialise(encoder: VisionLanguageEncoder) -> None:
    """Weights that keep the scale of signals: with torch's defaults each layer fades it by more than half."""
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in encoder.modules():
        if isinstance(module, FilmBlock):
            nn.init.normal_(module.film.weight, std=0.5 * module.film.in_features**-0.5)
            nn.init.normal_(module.mix.weight, std=0.4 * module.mix.in_features**-0.5)
        if isinstance(module, Pointer):
            nn.init.normal_(module.vote.weight, std=0.3 * module.vote.in_features**-0.5)
    nn.init.normal_(encoder.read_out.weight, std=0.3 * encoder.read_out.in_features**-0.5)

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

from sop_bench.policy.config import MAGNIFIED_SHARES, PolicyConfig
from sop_bench.policy.network import CameraNetwork, NetworkConfig
from sop_bench.policy.pointer import Pointer, Votes, attended, pointed_together, votes_of
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


class FilmBlock(nn.Module):
    """A residual block of convolutions whose channels are scaled and shifted by the condition."""

    def __init__(self, channels: int, kernel: int, condition_dim: int):
        super().__init__()
        self.film = nn.Linear(condition_dim, 2 * channels)
        self.spatial = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
        self.mix = nn.Linear(channels, channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, channels, h, w), channels last in memory, and (B, condition_dim) to the same shape."""
        scale, shift = self.film(condition)[:, None, None].chunk(2, dim=3)
        seen = self.spatial(x).permute(0, 2, 3, 1)
        mixed = self.mix(F.relu(torch.addcmul(shift, seen, 1 + scale), inplace=True))
        return x + mixed.permute(0, 3, 1, 2)


class CameraEncoder(nn.Module):
    """One camera: a strided stem, FiLM blocks at an eighth of the resolution, and a flattened grid.

    `Pointer`s read the same grid, one for each position that the configuration asks for.
    """

    def __init__(
        self,
        camera: CameraSpec,
        network: CameraNetwork,
        language_dim: int,
        pose_dim: int,
        pointed_dims: Sequence[int],
    ):
        super().__init__()
        self.moves = pose_dim > 0
        condition_dim = language_dim + pose_dim
        self.patches = nn.Conv2d(3, network.stem_channels, 4, stride=4, bias=False)
        self.offset = nn.Parameter(torch.zeros(network.stem_channels))
        self.reduce = nn.Conv2d(network.stem_channels, network.channels, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(
            FilmBlock(network.channels, kernel, condition_dim) for kernel in network.kernels
        )
        cells = _eighth(camera.height) * _eighth(camera.width)
        self.attends = len(pointed_dims) > 0 and not self.moves
        self.grid = nn.Linear(network.channels, network.grid_channels)
        looked_at = network.grid_channels * (len(pointed_dims) if self.attends else cells)
        self.out = nn.Linear(looked_at, network.vector_dim)
        pointers = [Pointer(network.channels, cells, pose_dim, length) for length in pointed_dims]
        # The first has a name of its own: checkpoints from before there were several call it that.
        self.pointer = pointers[0] if pointers else None
        self.further_pointers = nn.ModuleList(pointers[1:])

    def forward(self, image: Tensor, language: Tensor, pose: Tensor) -> tuple[Tensor, list[Votes]]:
        """(B, h, w, 3) uint8, (B, language_dim) and (B, pose_dim) to (B, vector_dim) and all votes."""
        condition = torch.cat([language, pose], dim=1) if self.moves else language
        x = F.relu(self.reduce(F.relu(self._embed_pixels(image), inplace=True)), inplace=True)
        for block in self.blocks:
            x = block(x, condition)
        cells = F.relu(x.permute(0, 2, 3, 1).flatten(1, 2))  # (B, cells, channels)
        votes = votes_of(self._pointers(), cells, pose)
        grid = F.relu(self.grid(cells))  # not in place: of a view, that costs its gradient four copies
        if self.attends:
            return self.out(torch.cat([attended(vote, grid) for vote in votes], dim=1)), votes
        return self.out(grid.flatten(1)), votes

    def _pointers(self) -> list[Pointer]:
        first = [] if self.pointer is None else [self.pointer]
        return [*first, *(pointer for pointer in self.further_pointers if isinstance(pointer, Pointer))]

    def _embed_pixels(self, image: Tensor) -> Tensor:
        # The scaling of pixels to [-.5, .5] is folded into the convolution: done on the pixels it would cost
        # as much as half of the network. Integers up to 256 are exact in bfloat16.
        weight = self.patches.weight / 255
        bias = self.offset - 0.5 * self.patches.weight.sum(dim=(1, 2, 3))
        kind = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
        # A permuted view of (B, h, w, 3) is channels_last in memory, the fast layout for these sizes.
        return F.conv2d(image.permute(0, 3, 1, 2).to(kind), weight, bias, stride=4)


def _moves(camera: CameraSpec) -> bool:
    return camera.name.startswith("wrist")


def _eighth(size: int) -> int:
    return (size // 4 + 1) // 2


class Sight(NamedTuple):
    """What the encoder makes of a batch.

    Attributes:
        labels: (B, label_dim) read-out of the labels, in z units.
        votes: Camera name to the mixtures of its pointers, in the order of `PolicyConfig.pointed_at`.
    """

    labels: Tensor
    votes: Mapping[str, Sequence[Votes]]


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
        pointed_dims = {
            camera.name: [place.stop - place.start for place in config.pointed_at(camera.name)]
            for camera in config.cameras
        }
        self.cameras = nn.ModuleDict(
            {
                camera.name: CameraEncoder(
                    camera,
                    network.of_camera(camera.name),
                    network.language_dim,
                    _POSE_DIM if _moves(camera) else 0,
                    pointed_dims[camera.name],
                )
                for camera in config.cameras
            }
        )
        pointed_dim = sum(length + 1 for dims in pointed_dims.values() for length in dims)
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

    def see(self, images: Mapping[str, Tensor], language: Tensor, state: Tensor) -> Sight:
        """Everything that is read out of the images, before it is scaled for the action head.

        Args:
            images: Camera name to (B, h, w, 3) uint8.
            language: (B, language_dim) from `embed_language`.
            state: (B, P) proprioception as observed.
        """
        pose = self.pose((state - self.state_mean) / self.state_scale)
        vectors: list[Tensor] = []
        votes: dict[str, list[Votes]] = {}
        for name, encoder in self.cameras.items():
            vector, votes[name] = encoder(images[name], language, pose)
            vectors.append(vector)
        # Pointers learn from their own loss alone: that of the read-out would pull two candidates together.
        places = [place.detach() for mixtures in votes.values() for place in pointed_together(mixtures)]
        seen = [*(F.relu(vector) for vector in vectors), language, pose]
        hidden = self.grounding(torch.cat([*seen, *places], dim=1))
        labels = self.read_out(torch.cat([hidden, *places], dim=1))
        return Sight(labels.float(), votes)

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
        coarse = self.see(images, language, state).labels
        from_zero = coarse + self.label_mean / self.label_scale
        copies = [coarse, *(from_zero.div(share).tanh() for share in MAGNIFIED_SHARES)]
        if task is None or not self.config.tasks:
            return torch.cat(copies, dim=1)
        has = self.has_label[task]
        known = F.one_hot(task, len(self.config.tasks)).float()
        return torch.cat([*(copy * has for copy in copies), known], dim=1)

    def labels(self, images: Mapping[str, Tensor], language: Tensor, state: Tensor) -> Tensor:
        """(B, label_dim) the read-out in the labels' own units, concatenated in the order of the config."""
        return self.see(images, language, state).labels * self.label_scale + self.label_mean


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

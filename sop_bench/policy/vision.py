"""The visual encoder: camera images, read under an instruction and a pose, become vectors and labels.

It is trained once on random scenes that the simulator labels (`perception`), which stands in for the
pretraining of a vision-language model, and is frozen afterwards by default. Its read-out of the labels is
part of what the action head sees, as the pointing outputs of a large model would be.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sop_bench.policy.config import CameraNetwork, NetworkConfig, PolicyConfig
from sop_bench.robot import CameraSpec

_STATE_DIM = 32  # length of the embedding of the pose that modulates the images
_FINE_SHARE = 0.1  # of a label's standard deviation: what its fine copy resolves around zero


class LanguageEncoder(nn.Module):
    """Instruction to vector. Word order counts: the words' embeddings are concatenated, not summed."""

    def __init__(self, vocabulary_size: int, network: NetworkConfig):
        super().__init__()
        self.words = nn.Embedding(vocabulary_size, network.word_dim, padding_idx=0)
        self.mix = nn.Linear(network.max_words * network.word_dim, 2 * network.language_dim)
        self.out = nn.Linear(2 * network.language_dim, network.language_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L) word ids to (B, language_dim)."""
        return self.out(F.relu(self.mix(self.words(tokens).flatten(1))))


class FilmBlock(nn.Module):
    """A residual block of convolutions whose channels are scaled and shifted by the condition."""

    def __init__(self, channels: int, kernel: int, condition_dim: int):
        super().__init__()
        self.film = nn.Linear(condition_dim, 2 * channels)
        self.spatial = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.film(condition)[:, :, None, None].chunk(2, dim=1)
        return x + self.mix(F.relu(torch.addcmul(shift, self.spatial(x), 1 + scale)))


class CameraEncoder(nn.Module):
    """One camera: a strided stem, FiLM blocks at an eighth of the resolution, and a flattened grid.

    The grid is flattened rather than pooled: on these images it localised better than a spatial softmax at
    the same training time, and conditioning before the spatial layers better than attending after them.
    """

    def __init__(self, camera: CameraSpec, network: CameraNetwork, condition_dim: int):
        super().__init__()
        self.patches = nn.Conv2d(3, network.stem_channels, 4, stride=4, bias=False)
        self.offset = nn.Parameter(torch.zeros(network.stem_channels))
        self.reduce = nn.Conv2d(network.stem_channels, network.channels, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(
            FilmBlock(network.channels, kernel, condition_dim) for kernel in network.kernels
        )
        self.grid = nn.Conv2d(network.channels, network.grid_channels, 1)
        cells = _eighth(camera.height) * _eighth(camera.width)
        self.out = nn.Linear(cells * network.grid_channels, network.vector_dim)

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """(B, h, w, 3) uint8 and (B, condition_dim) to (B, vector_dim)."""
        x = F.relu(self.reduce(F.relu(self._embed_pixels(image))))
        for block in self.blocks:
            x = block(x, condition)
        return self.out(F.relu(self.grid(x)).flatten(1))

    def _embed_pixels(self, image: Tensor) -> Tensor:
        # The scaling of pixels to [-.5, .5] is folded into the convolution: done on the pixels it would cost
        # as much as half of the network. Integers up to 256 are exact in bfloat16.
        weight = self.patches.weight / 255
        bias = self.offset - 0.5 * self.patches.weight.sum(dim=(1, 2, 3))
        kind = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
        # A permuted view of (B, h, w, 3) is channels_last in memory, the fast layout for these sizes.
        return F.conv2d(image.permute(0, 3, 1, 2).to(kind), weight, bias, stride=4)


def _eighth(size: int) -> int:
    return (size // 4 + 1) // 2


class VisionLanguageEncoder(nn.Module):
    """Images, instruction and pose to the feature vector of the action head.

    The pose takes part because a wrist camera sees the target in its own frame: only with the joint angles
    can that be turned into the base frame of the labels.
    """

    def __init__(self, config: PolicyConfig, vocabulary_size: int):
        super().__init__()
        network = config.network
        self.config = config
        self.language = LanguageEncoder(vocabulary_size, network)
        self.pose = nn.Sequential(
            nn.Linear(config.state_dim, 2 * _STATE_DIM), nn.ReLU(), nn.Linear(2 * _STATE_DIM, _STATE_DIM)
        )
        condition_dim = network.language_dim + _STATE_DIM
        self.cameras = nn.ModuleDict(
            {
                camera.name: CameraEncoder(camera, network.of_camera(camera.name), condition_dim)
                for camera in config.cameras
            }
        )
        seen_dim = config.feature_dim - 2 * config.label_dim + _STATE_DIM
        self.grounding = nn.Sequential(
            nn.Linear(seen_dim, network.grounding_dim),
            nn.ReLU(),
            nn.Linear(network.grounding_dim, network.grounding_dim),
            nn.ReLU(),
            nn.Linear(network.grounding_dim, config.label_dim),
        )
        self.state_mean: Tensor
        self.state_scale: Tensor
        self.label_mean: Tensor
        self.label_scale: Tensor
        self.feature_mean: Tensor
        self.feature_scale: Tensor
        for name, length in (
            ("state", config.state_dim),
            ("label", config.label_dim),
            ("feature", config.feature_dim - 2 * config.label_dim),
        ):
            self.register_buffer(f"{name}_mean", torch.zeros(length))
            self.register_buffer(f"{name}_scale", torch.ones(length))

    def embed_language(self, tokens: Tensor) -> Tensor:
        """(B, L) word ids to (B, language_dim)."""
        return self.language(tokens)

    def see(self, images: Mapping[str, Tensor], language: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Visual and language vectors (B, V + language_dim), and the labels in z units (B, label_dim).

        Args:
            images: Camera name to (B, h, w, 3) uint8.
            language: (B, language_dim) from `embed_language`.
            state: (B, P) proprioception as observed.
        """
        pose = self.pose((state - self.state_mean) / self.state_scale)
        condition = torch.cat([language, pose], dim=1)
        seen = [encoder(images[name], condition) for name, encoder in self.cameras.items()]
        labels = self.grounding(F.relu(torch.cat([*seen, condition], dim=1)))
        return torch.cat([*seen, language], dim=1).float(), labels.float()

    def features(self, images: Mapping[str, Tensor], language: Tensor, state: Tensor) -> Tensor:
        """(B, F) float32, of about zero mean and unit scale over the pretraining scenes.

        The labels are given twice, as they are and magnified around zero: most of them are differences of
        positions, and the last centimetre of an approach decides over the grasp.
        """
        raw, coarse = self.see(images, language, state)
        fine = (coarse + self.label_mean / self.label_scale).div(_FINE_SHARE).tanh()
        return torch.cat([(raw - self.feature_mean) / self.feature_scale, coarse, fine], dim=1)

    def labels(self, images: Mapping[str, Tensor], language: Tensor, state: Tensor) -> Tensor:
        """(B, label_dim) the read-out in the labels' own units, concatenated in the order of the config."""
        _, z = self.see(images, language, state)
        return z * self.label_scale + self.label_mean

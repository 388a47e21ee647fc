"""The action head: flow matching over chunks of normalised actions.

On a straight path x(t) = (1 - t) noise + t chunk the network is asked for the chunk at its end, and the
velocity follows: (chunk - x) / (1 - t). Asked for the velocity itself, it spent most of its capacity on
repeating the noise: at equal steps its error on the demonstrations was twice as large. At inference a few
Euler steps carry zero noise (the mode, which measured a little better than a sample) to a chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sop_bench.policy.config import PolicyConfig

_TIME_DIM = 32
_PROPRIO_NOISE = 0.02  # z units, in training: measured joints must not be trusted to the last digit
_LOSS_KNEE = 0.5  # z units; errors below it are squared, larger ones count linearly


class ResidualBlock(nn.Module):
    """x + a two-layer perceptron of x."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(F.gelu(self.inner(self.norm(x)), approximate="tanh"))


class FlowHead(nn.Module):
    """Features and proprioception to chunks, in the units of `Normaliser`."""

    def __init__(self, config: PolicyConfig):
        super().__init__()
        network = config.network
        self.chunk_shape = (network.chunk_steps, config.action_dim)
        self.draws, self.euler_steps = network.flow_draws, network.euler_steps
        chunk_dim = network.chunk_steps * config.action_dim
        self.fuse = nn.Linear(config.feature_dim + config.state_dim + config.action_dim, network.context_dim)
        self.refine = ResidualBlock(network.context_dim)
        self.condition = nn.Linear(network.context_dim, network.flow_dim)
        self.lift = nn.Linear(chunk_dim, network.flow_dim, bias=False)
        self.clock = nn.Linear(_TIME_DIM, network.flow_dim, bias=False)
        self.blocks = nn.ModuleList(ResidualBlock(network.flow_dim) for _ in range(network.flow_blocks))
        self.norm = nn.LayerNorm(network.flow_dim)
        self.out = nn.Linear(network.flow_dim, chunk_dim)
        # The first prediction is the mean chunk, whatever the noise: training starts calmly.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        frequencies = torch.exp(torch.linspace(0.0, 4.0, _TIME_DIM // 2))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.frequencies: Tensor

    def context(self, features: Tensor, state_z: Tensor, commanded_z: Tensor) -> Tensor:
        """What the chunk depends on, (B, flow_dim): computed once, used by every Euler step."""
        fused = F.gelu(self.fuse(torch.cat([features, state_z, commanded_z], dim=1)), approximate="tanh")
        return self.condition(self.refine(fused))

    def destination(self, chunk: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """Where the paths through flattened chunks (N, H * A) at times (N, 1) in [0, 1) end."""
        return self._destination(chunk, context + self._tick(time))

    def _tick(self, time: Tensor) -> Tensor:
        phase = time * self.frequencies
        return self.clock(torch.cat([phase.sin(), phase.cos()], dim=1))

    def _destination(self, chunk: Tensor, context: Tensor) -> Tensor:
        hidden = self.lift(chunk) + context
        for block in self.blocks:
            hidden = block(hidden)
        return self.out(self.norm(hidden))

    def loss(
        self,
        features: Tensor,
        state_z: Tensor,
        commanded_z: Tensor,
        chunk_z: Tensor,
        valid: Tensor,
        generator: torch.Generator,
        task: Tensor | None = None,
    ) -> Tensor:
        """Mean error of each sample's destination, (B,), over its valid steps: Huber's, squared near zero.

        Corrections hold a few chunks that are fifteen standard deviations long (a wrist that turns over).
        Squared without a limit they threw whole fleets back by ten points of success in mid-run.

        Args:
            features, state_z, commanded_z: (B, F), (B, P), (B, A).
            chunk_z: (B, H, A) targets.
            valid: (B, H) bool.
            generator: Source of proprioception noise, flow times and flow noise.
            task: Not needed: a generalist's features name it.
        """
        del task
        noisy_state = state_z + _PROPRIO_NOISE * _normal(state_z.shape, generator)
        noisy_commanded = commanded_z + _PROPRIO_NOISE * _normal(commanded_z.shape, generator)
        context = self.context(features, noisy_state, noisy_commanded).repeat(self.draws, 1)
        target = chunk_z.flatten(1).repeat(self.draws, 1)  # (D * B, H * A)
        noise = _normal(target.shape, generator)
        # Squared, times are early ones: there the context has to say it all, and inference starts there.
        time = torch.rand(len(target), 1, generator=generator).square()
        predicted = self.destination(torch.lerp(noise, target, time), time, context)
        error = F.smooth_l1_loss(predicted.float(), target, beta=_LOSS_KNEE, reduction="none")
        error = 2 * _LOSS_KNEE * error  # scaled so that small errors count as their squares
        per_step = error.view(self.draws, len(chunk_z), *self.chunk_shape).mean(dim=(0, 3))  # (B, H)
        return (per_step * valid).sum(dim=1) / valid.sum(dim=1).clamp(min=1)

    def sample(
        self, features: Tensor, state_z: Tensor, commanded_z: Tensor, task: Tensor | None = None
    ) -> Tensor:
        """The chunk reached from zero noise, (B, H, A), in z units."""
        del task
        context = self.context(features, state_z, commanded_z)
        ticks = self._tick(torch.arange(self.euler_steps)[:, None] / self.euler_steps)
        chunk = torch.zeros(len(features), self.chunk_shape[0] * self.chunk_shape[1])
        for step, tick in enumerate(ticks):
            end = self._destination(chunk, context + tick)
            chunk = torch.lerp(chunk, end, 1 / (self.euler_steps - step))
        return chunk.view(-1, *self.chunk_shape)


def _normal(shape: torch.Size, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator)

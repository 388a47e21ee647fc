"""Between radians and the units of the network.

Arm joints of a chunk are taken relative to the joints commanded at its start, so that a policy which has
learnt a motion in one place knows it in another; grippers are absolute, since open and closed are.

A generalist has the states and actions of each task in units of their own. With one scale of actions for
all, a task of small motions would hardly count in the loss; and an arm that one task moves would never be
held still in another, where small errors relative to itself add up until it stands in the picture. With one
scale of states, the noise that training adds to them, a share of that scale, would be larger than a task of
small motions bears.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

_IDLE_RAD = 0.002  # standard deviation of the targets of a joint that the task does not use
_SCALE_FLOOR = 0.02  # rad; a joint that hardly moves must not be blown up to unit variance


class Normaliser(nn.Module):
    """Statistics of a task's demonstrations; its buffers travel with the weights.

    Args:
        state_dim: P, length of the proprioception.
        joint_names: A names; those that end in ``gripper`` are absolute and two-valued.
        chunk_steps: H.
    """

    def __init__(self, state_dim: int, joint_names: Sequence[str], chunk_steps: int):
        super().__init__()
        action_dim = len(joint_names)
        shapes = {"state": (state_dim,), "commanded": (action_dim,), "chunk": (chunk_steps, action_dim)}
        for name, shape in shapes.items():
            self.register_buffer(f"{name}_mean", torch.zeros(shape))
            self.register_buffer(f"{name}_scale", torch.ones(shape))
        self.register_buffer("gripper_low_rad", torch.zeros(action_dim))
        self.register_buffer("gripper_high_rad", torch.zeros(action_dim))
        gripper = torch.tensor([name.endswith("gripper") for name in joint_names])
        self.register_buffer("gripper", gripper, persistent=False)
        self.state_mean: Tensor
        self.state_scale: Tensor
        self.commanded_mean: Tensor
        self.commanded_scale: Tensor
        self.chunk_mean: Tensor
        self.chunk_scale: Tensor
        self.gripper_low_rad: Tensor
        self.gripper_high_rad: Tensor
        self.gripper: Tensor

    def fit(
        self,
        state: Tensor,
        commanded_rad: Tensor,
        chunk_rad: Tensor,
        valid: Tensor,
        task: Tensor | None = None,
    ) -> None:
        """Take the statistics of N frames: (N, P), (N, A), (N, H, A), (N, H) bool, all of one task."""
        del task
        self.fit_state(state, commanded_rad)
        relative = self._relative(chunk_rad, commanded_rad)
        weight = valid.to(relative.dtype)[..., None]  # (N, H, 1)
        count = weight.sum(dim=0).clamp(min=1)
        mean = (relative * weight).sum(dim=0) / count
        variance = ((relative - mean).square() * weight).sum(dim=0) / count
        self.chunk_mean.copy_(mean)
        self.chunk_scale.copy_(variance.sqrt() + _SCALE_FLOOR)
        # Not the very extremes: an imperfect demonstrator overshoots now and then.
        imitated = chunk_rad[valid]
        self.gripper_low_rad.copy_(torch.quantile(imitated, 0.01, dim=0, interpolation="nearest"))
        self.gripper_high_rad.copy_(torch.quantile(imitated, 0.99, dim=0, interpolation="nearest"))

    def fit_state(self, state: Tensor, commanded_rad: Tensor) -> None:
        """Take the statistics of N states and commands alone: (N, P), (N, A)."""
        for name, values in (("state", state), ("commanded", commanded_rad)):
            self.get_buffer(f"{name}_mean").copy_(values.mean(dim=0))
            self.get_buffer(f"{name}_scale").copy_(values.std(dim=0, correction=0) + _SCALE_FLOOR)

    def state(self, state: Tensor, task: Tensor | None = None) -> Tensor:
        """(B, P) in z units."""
        del task
        return (state - self.state_mean) / self.state_scale

    def commanded(self, commanded_rad: Tensor, task: Tensor | None = None) -> Tensor:
        """(B, A) in z units."""
        del task
        return (commanded_rad - self.commanded_mean) / self.commanded_scale

    def encode_chunk(self, chunk_rad: Tensor, commanded_rad: Tensor, task: Tensor | None = None) -> Tensor:
        """Absolute targets (B, H, A) in rad to z units."""
        del task
        return (self._relative(chunk_rad, commanded_rad) - self.chunk_mean) / self.chunk_scale

    def decode_chunk(self, chunk_z: Tensor, commanded_rad: Tensor, task: Tensor | None = None) -> Tensor:
        """The inverse of `encode_chunk`."""
        del task
        relative = chunk_z * self.chunk_scale + self.chunk_mean
        moved = torch.where(self.gripper, relative, relative + commanded_rad[:, None])
        # A joint that no demonstration moved is held where it was: small errors relative to itself add up.
        return torch.where(self.commanded_scale < _SCALE_FLOOR + _IDLE_RAD, self.commanded_mean, moved)

    def snap_grippers(self, chunk_rad: Tensor, task: Tensor | None = None) -> Tensor:
        """Grippers fully open or fully closed, whichever is nearer: in between, a grip has no force."""
        del task
        middle = (self.gripper_low_rad + self.gripper_high_rad) / 2
        snapped = torch.where(chunk_rad > middle, self.gripper_high_rad, self.gripper_low_rad)
        return torch.where(self.gripper, snapped, chunk_rad)

    def _relative(self, chunk_rad: Tensor, commanded_rad: Tensor) -> Tensor:
        return torch.where(self.gripper, chunk_rad, chunk_rad - commanded_rad[:, None])


class TaskNormaliser(nn.Module):
    """States and actions in the units of their task: of each, exactly what a `Normaliser` of it alone does.

    So its joints that rest are held, its grippers snap to its own ends, and its loss has the size it would
    have alone.

    Args:
        tasks: M, how many there are; a task is named by its index.
        state_dim, joint_names, chunk_steps: See `Normaliser`.
    """

    def __init__(self, tasks: int, state_dim: int, joint_names: Sequence[str], chunk_steps: int):
        super().__init__()
        self.of_task = nn.ModuleList(Normaliser(state_dim, joint_names, chunk_steps) for _ in range(tasks))

    def fit(
        self,
        state: Tensor,
        commanded_rad: Tensor,
        chunk_rad: Tensor,
        valid: Tensor,
        task: Tensor,
    ) -> None:
        """Take the statistics of N frames: (N, P), (N, A), (N, H, A), (N, H) bool and the task of each (N,).

        A task without frames takes the statistics of all.
        """
        for index, normaliser in enumerate(self._each()):
            own = torch.nonzero(task == index)[:, 0]
            rows = own if len(own) else torch.arange(len(task))
            normaliser.fit(*(values[rows] for values in (state, commanded_rad, chunk_rad, valid)))

    def state(self, state: Tensor, task: Tensor) -> Tensor:
        """(B, P) of the tasks (B,) in z units."""
        encoded = torch.empty_like(state)
        for normaliser, rows in self._groups(task):
            encoded[rows] = normaliser.state(state[rows])
        return encoded

    def commanded(self, commanded_rad: Tensor, task: Tensor) -> Tensor:
        """(B, A) of the tasks (B,) in z units."""
        encoded = torch.empty_like(commanded_rad)
        for normaliser, rows in self._groups(task):
            encoded[rows] = normaliser.commanded(commanded_rad[rows])
        return encoded

    def encode_chunk(self, chunk_rad: Tensor, commanded_rad: Tensor, task: Tensor) -> Tensor:
        """Absolute targets (B, H, A) in rad of the tasks (B,) to z units."""
        encoded = torch.empty_like(chunk_rad)
        for normaliser, rows in self._groups(task):
            encoded[rows] = normaliser.encode_chunk(chunk_rad[rows], commanded_rad[rows])
        return encoded

    def decode_chunk(self, chunk_z: Tensor, commanded_rad: Tensor, task: Tensor) -> Tensor:
        """The inverse of `encode_chunk`."""
        decoded = torch.empty_like(chunk_z)
        for normaliser, rows in self._groups(task):
            decoded[rows] = normaliser.decode_chunk(chunk_z[rows], commanded_rad[rows])
        return decoded

    def snap_grippers(self, chunk_rad: Tensor, task: Tensor) -> Tensor:
        """Grippers fully open or fully closed, as far as their task opens and closes them."""
        snapped = torch.empty_like(chunk_rad)
        for normaliser, rows in self._groups(task):
            snapped[rows] = normaliser.snap_grippers(chunk_rad[rows])
        return snapped

    def _groups(self, task: Tensor) -> Iterator[tuple[Normaliser, Tensor]]:
        for index, normaliser in enumerate(self._each()):
            rows = torch.nonzero(task == index)[:, 0]
            if len(rows):
                yield normaliser, rows

    def _each(self) -> Iterator[Normaliser]:
        for module in self.of_task:
            assert isinstance(module, Normaliser)  # a ModuleList forgets what it holds
            yield module

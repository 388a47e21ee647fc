"""A flow head for each family of tasks, behind one encoder.

Seven tasks in one head of the same width closed half as many boxes as a head for boxes alone
(docs/lessons.md): hands that press a flap and hands that let go of a jar shared their layers. Here families
share what is seen and named, and nothing of how hands move, so that one family's corrections cannot unlearn
another's. It asks nothing of the robot: the task is read from the instruction (`recogniser`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sop_bench.policy.config import PolicyConfig
from sop_bench.policy.flow import FlowHead


class FamilyHeads(nn.Module):
    """Takes and gives what a `FlowHead` does; each row goes through the head of its task's family."""

    def __init__(self, config: PolicyConfig):
        super().__init__()
        families = [task.family for task in config.tasks]
        self.families = nn.ModuleDict({family: FlowHead(config) for family in dict.fromkeys(families)})
        index = [list(self.families).index(family) for family in families]
        self.register_buffer("family", torch.tensor(index), persistent=False)
        self.family: Tensor  # (tasks,)

    def loss(
        self,
        features: Tensor,
        state_z: Tensor,
        commanded_z: Tensor,
        chunk_z: Tensor,
        valid: Tensor,
        generator: torch.Generator,
        task: Tensor,
    ) -> Tensor:
        """As `FlowHead.loss`, (B,), for rows of the tasks (B,)."""
        return self._each(
            task,
            lambda head, own: head.loss(
                features[own], state_z[own], commanded_z[own], chunk_z[own], valid[own], generator
            ),
        )

    def sample(self, features: Tensor, state_z: Tensor, commanded_z: Tensor, task: Tensor) -> Tensor:
        """As `FlowHead.sample`, (B, H, A), for rows of the tasks (B,)."""
        return self._each(task, lambda head, own: head.sample(features[own], state_z[own], commanded_z[own]))

    def _each(self, task: Tensor, ask: Callable[[FlowHead, Tensor], Tensor]) -> Tensor:
        """What the head of each family answers for its own rows, in the order of all rows."""
        family = self.family[task]
        answers: list[Tensor] = []
        rows: list[Tensor] = []
        for index, head in enumerate(self.families.values()):
            own = (family == index).nonzero()[:, 0]
            if len(own):
                assert isinstance(head, FlowHead)
                answers.append(ask(head, own))
                rows.append(own)
        return torch.cat(answers)[torch.cat(rows).argsort()]


def action_head(config: PolicyConfig) -> FlowHead | FamilyHeads:
    """The head that `config` asks for."""
    return FamilyHeads(config) if config.network.head_per_family and config.tasks else FlowHead(config)

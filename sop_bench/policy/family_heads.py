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
from sop_bench.policy.rows import Rows


class FamilyHeads(nn.Module):
    """Takes and gives what a `FlowHead` does; each row goes through the head of its task's family."""

    def __init__(self, config: PolicyConfig):
        super().__init__()
        families = [task.family for task in config.tasks]
        self.families = nn.ModuleDict({family: FlowHead(config) for family in dict.fromkeys(families)})
        self.tasks = [
            frozenset(task for task, of in enumerate(families) if of == family) for family in self.families
        ]

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
            lambda head, rows: head.loss(
                rows.take(features),
                rows.take(state_z),
                rows.take(commanded_z),
                rows.take(chunk_z),
                rows.take(valid),
                generator,
            ),
        )

    def sample(self, features: Tensor, state_z: Tensor, commanded_z: Tensor, task: Tensor) -> Tensor:
        """As `FlowHead.sample`, (B, H, A), for rows of the tasks (B,)."""
        return self._each(
            task,
            lambda head, rows: head.sample(rows.take(features), rows.take(state_z), rows.take(commanded_z)),
        )

    def _each(self, task: Tensor, ask: Callable[[FlowHead, Rows], Tensor]) -> Tensor:
        """What the head of each family answers for its own rows, in the order of all rows."""
        tasks = task.tolist()
        answers: list[Tensor] = []
        for head, own in zip(self.families.values(), self.tasks, strict=True):
            rows = Rows.of(tasks, own)
            if len(rows):
                assert isinstance(head, FlowHead)
                answers.append(rows.put(ask(head, rows)))
        return answers[0] if len(answers) == 1 else torch.stack(answers).sum(dim=0)


def action_head(config: PolicyConfig) -> FlowHead | FamilyHeads:
    """The head that `config` asks for."""
    return FamilyHeads(config) if config.network.head_per_family and config.tasks else FlowHead(config)

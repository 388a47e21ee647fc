"""Which of its tasks a generalist is asked to do, read from the words of the instruction.

Robots are told what to do in words and in nothing else, so the task has to be found in them. A word that a
task's own instructions never use speaks against it: ``half`` against quartering a cloth, ``slot`` against the
freezer. That needs no training and is never in doubt, as long as tasks are worded differently; pretraining
refuses those that are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sop_bench.errors import ConfigurationError, unknown_name
from sop_bench.policy.config import TaskConfig
from sop_bench.policy.tokenizer import Tokenizer


class Recogniser(nn.Module):
    """Word ids to the index of a task.

    Args:
        tasks: What there is to choose from; with none, or one, everything is task 0.
        tokenizer: Gives the ids.
    """

    def __init__(self, tasks: Sequence[TaskConfig], tokenizer: Tokenizer):
        super().__init__()
        self.names = tuple(task.name for task in tasks)
        known = [{*task.words} for task in tasks] or [set(tokenizer.words)]
        strange = [[0.0, *(float(word not in words) for word in tokenizer.words)] for words in known]
        # Where several know every word, the one with the fewest words of its own is meant.
        breadth = [len(words) / (len(tokenizer.words) + 1) for words in known]
        self.register_buffer("strange", torch.tensor(strange), persistent=False)  # (tasks, ids)
        self.register_buffer("breadth", torch.tensor(breadth), persistent=False)
        self.strange: Tensor
        self.breadth: Tensor

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L) word ids to (B,) indices of tasks."""
        return (self.strange[:, tokens].sum(dim=2) + self.breadth[:, None]).argmin(dim=0)

    def check(self, instructions: Mapping[str, Sequence[str]], tokenizer: Tokenizer) -> None:
        """Refuse tasks that cannot be told apart by the given instructions of each.

        Raises:
            ConfigurationError: An instruction is taken for that of another task, or its task is not known.
        """
        for name in instructions if self.names else ():
            if name not in self.names:
                raise unknown_name("task", name, self.names, "The policy was not pretrained for it.")
            place, texts = self.names.index(name), sorted(set(instructions[name]))
            taken_for = self(tokenizer(texts))
            for text, found in zip(texts, taken_for.tolist(), strict=True):
                if found != place:
                    raise ConfigurationError(
                        f"The instruction {text!r} of {name} is taken for one of {self.names[found]}; "
                        f"allowed: tasks that differ in their words. Reword one of them, or leave it out."
                    )

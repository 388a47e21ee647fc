"""Instructions to word ids, with a vocabulary that is built once and kept in the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from sop_bench.errors import ConfigurationError, unknown_name

_PADDING = 0  # id of the places after the last word


class Tokenizer:
    """A word-level tokenizer of fixed length.

    Args:
        words: The vocabulary; word i has id i + 1.
        max_words: L, the length that instructions are padded to.
    """

    def __init__(self, words: Sequence[str], max_words: int):
        self.words = tuple(words)
        self.max_words = max_words
        self._ids = {word: i + 1 for i, word in enumerate(self.words)}

    @classmethod
    def build(cls, instructions: Iterable[str], max_words: int) -> Tokenizer:
        """The vocabulary of all words in `instructions`, in alphabetical order."""
        return cls(sorted({word for text in set(instructions) for word in split_words(text)}), max_words)

    @property
    def size(self) -> int:
        """Number of ids, the padding included."""
        return len(self.words) + 1

    def ids(self, instruction: str) -> list[int]:
        """L ids of one instruction.

        Raises:
            ConfigurationError: A word that the policy never saw, or more than L words.
        """
        words = split_words(instruction)
        if not 0 < len(words) <= self.max_words:
            raise ConfigurationError(
                f"Instruction {instruction!r} has {len(words)} words; allowed: 1 to {self.max_words}. "
                f"Shorten it, or pretrain a policy with a larger max_words."
            )
        for word in words:
            if word not in self._ids:
                raise unknown_name(
                    "word",
                    word,
                    self.words,
                    f"The policy cannot read {instruction!r}: reword it or pretrain.",
                )
        return [self._ids[word] for word in words] + [_PADDING] * (self.max_words - len(words))

    def __call__(self, instructions: Sequence[str]) -> Tensor:
        """(B, L) int64 ids."""
        known: dict[str, list[int]] = {}
        for text in instructions:
            if text not in known:
                known[text] = self.ids(text)
        return torch.tensor([known[text] for text in instructions], dtype=torch.int64)


def split_words(instruction: str) -> list[str]:
    """Lower-case words without commas and full stops."""
    return instruction.lower().replace(",", " ").replace(".", " ").split()

"""Post-training algorithms are plug-ins of one small protocol.

The learner asks, for every episode that arrives, which frames to train on, and then draws from them::

    for frame, group in algorithm.select(episode): replay.add(episode, frame, group)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sop_bench.episode import Episode


@dataclass(frozen=True)
class Selection:
    """The frames of one episode that an algorithm trains on.

    Attributes:
        steps: (K,) indices into the episode's frames.
        valid_steps: (K,) how many following actions (from that step on) may be imitated: to the end of the
            segment, so that a chunk never crosses a hand-over.
        hold_after: Whether the last executed action may be repeated past the end (only at true success;
            repeating it at a hand-back teaches the policy to stop there).
        weight: (K,) relative sampling weight within the episode's source.
    """

    steps: NDArray[np.int32]
    valid_steps: NDArray[np.int32]
    hold_after: NDArray[np.bool_]
    weight: NDArray[np.float32]


class Algorithm(Protocol):
    """Chooses what to imitate."""

    @property
    def name(self) -> str: ...

    def select(self, episode: Episode) -> Selection:
        """The trainable frames of `episode`; may be empty."""
        ...

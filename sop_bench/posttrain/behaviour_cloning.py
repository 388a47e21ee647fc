"""Behaviour cloning: imitate every step that an expert or a person controlled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sop_bench.episode import Episode
from sop_bench.policy.chunks import supervised_steps
from sop_bench.posttrain.base import Selection


@dataclass(frozen=True)
class BehaviourCloning:
    """The algorithm of the offline demonstrations, whatever is done with online episodes.

    Steps labelled as the policy's are left out, which in a demonstration are the pushes it recovers from.
    """

    @property
    def name(self) -> str:
        return "behaviour-cloning"

    def select(self, episode: Episode) -> Selection:
        steps, valid_steps, hold_after = supervised_steps(episode.frames, success=episode.header.success)
        return Selection(steps, valid_steps, hold_after, np.ones(len(steps), np.float32))

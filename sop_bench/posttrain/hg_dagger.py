"""HG-DAgger (Kelly et al. 2019) as SOP streams it, with the three readings of "imitate the corrections".

The paper does not say which frames its loss sees. The three modes here are those its successors use:

- ``interventions``: only the steps under the operator's control, of every episode (the default);
- ``successes``: every step of episodes that ended in success, the policy's own included;
- ``weighted``: as in Sirius, the operator's steps of every episode are half of what is drawn, the rest are
  the policy's own steps of successful episodes without those just before a takeover, which led to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sop_bench.episode import Episode, Frames, Source
from sop_bench.errors import unknown_name
from sop_bench.posttrain.base import Selection

Mode = Literal["interventions", "successes", "weighted"]


@runtime_checkable
class BalancesInterventions(Protocol):
    """Algorithms that fix how much of the online draws are interventions."""

    @property
    def intervention_share(self) -> float | None:
        """In [0, 1]; ``None`` to draw in proportion to the frames' weights."""
        ...


@dataclass(frozen=True)
class HGDagger:
    """Imitates corrections.

    Attributes:
        mode: Which frames are imitated, see the module.
        dropped_before_takeover: Policy steps before each takeover that ``weighted`` leaves out.
        weighted_share: Share of interventions among the online draws of ``weighted``.

    Raises:
        ConfigurationError: Unknown mode.
    """

    mode: Mode = "interventions"
    dropped_before_takeover: int = 8
    weighted_share: float = 0.5

    def __post_init__(self):
        if self.mode not in get_args(Mode):
            raise unknown_name("HG-DAgger mode", self.mode, get_args(Mode))

    @property
    def name(self) -> str:
        return f"hg-dagger/{self.mode}"

    @property
    def intervention_share(self) -> float | None:
        return self.weighted_share if self.mode == "weighted" else None

    def select(self, episode: Episode) -> Selection:
        frames, success = episode.frames, episode.header.success
        ends = frames.segment_end().copy()  # one past the last step that a chunk from here may imitate
        helped = frames.source != Source.POLICY
        match self.mode:
            case "interventions":
                wanted = helped
            case "successes":
                wanted = np.full(len(frames), success)
            case "weighted":
                ends[~helped] = self._before_the_slip(frames, ends)[~helped]
                wanted = helped | ((np.arange(len(frames)) < ends) & success)
        steps = np.flatnonzero(wanted).astype(np.int32)
        hold_after = (ends[steps] == len(frames)) & success
        return Selection(steps, ends[steps] - steps, hold_after, np.ones(len(steps), np.float32))

    def _before_the_slip(self, frames: Frames, ends: NDArray[np.int32]) -> NDArray[np.int32]:
        """(T,) like `ends`, moved forward from takeovers so that no chunk reaches what led to one."""
        taken_over = ends < len(frames)
        return np.where(taken_over, ends - self.dropped_before_takeover, ends).astype(np.int32)

"""How a cloth lies on the desk: whether it can be folded as it is, and which tabs to pull to spread it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sop_envs.tasks.cloth_fold import FoldSituation

CROOKED_M = 0.010  # r.m.s. of the near half: beyond, it is spread before it is folded
SETTLED_M = 0.035  # a tab this close to where it lay waits for one that is twice as far off
ASTRAY_M = 0.060  # a near tab further than this from where it lay: the cloth is brought back, too
NEAREST_M, FARTHEST_M = 0.100, 0.365  # near tabs from the robot's edge; far tabs from the base of their arm
NEARLY_M = 0.040  # a fold this near its end is finished where it is
NARROW, STRETCHED_M = 0.88, 0.030  # width of a rumpled row, in full ones; far tabs as good as where they lay


def must_be_spread(situation: FoldSituation) -> bool:
    """Whether it must be spread where it lay before it can be folded: crumpled, rumpled, or gone astray."""
    s = situation
    if s.folded:
        return False
    return _astray(s) or _rumpled(s) or s.lying_fit(slice(0, s.cloth.rows // 2))[1] > CROOKED_M


def _astray(s: FoldSituation) -> bool:
    """Lies where hands cannot fold it: too near, too far off, or just too far from where it lay."""
    if s.tab_m[:2, 0].min() < NEAREST_M:
        return True
    if max(s.way_left_m(side) for side in (0, 1)) < NEARLY_M:
        return False
    bases = np.array([hand.base_m[:2] for hand in s.hands])
    far_off = np.linalg.norm(s.tab_m[2:, :2] - bases, axis=1).max() > FARTHEST_M
    moved = np.linalg.norm(s.tab_m[:2, :2] - s.start_m[:2], axis=1).max() > ASTRAY_M
    return bool(far_off or moved)


def _rumpled(s: FoldSituation) -> bool:
    """Folded as it is, it would bulge; stretched between its far tabs, it gets smooth."""
    aside = np.linalg.norm(s.tab_m[2:, :2] - s.start_m[2:], axis=1).max()
    return bool(aside > STRETCHED_M) and s.narrowest < NARROW


def leading(situation: FoldSituation, side: int) -> tuple[int, int]:
    """Both tabs of a side, first the one that pulls the cloth after it; the other would push it.

    Unless that one lies nearly where it lay, and the other does not: then it is the other's turn.
    """
    s, near, far = situation, side, 2 + side
    aside = {tab: float(np.linalg.norm(s.start_m[tab] - s.tab_m[tab, :2])) for tab in (near, far)}
    for tab, other in ((near, far), (far, near)):
        if aside[tab] < SETTLED_M < aside[other] / 2:
            return other, tab
    way = s.start_m[[near, far]].sum(0) - s.tab_m[[near, far], :2].sum(0)
    return (far, near) if way @ (s.tab_m[far, :2] - s.tab_m[near, :2]) > 0 else (near, far)

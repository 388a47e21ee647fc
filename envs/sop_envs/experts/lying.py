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
UNDER_WAY = 0.80  # way left, in whole ones
TANGLED_M = 0.015  # r.m.s. of a near half beyond which even a fold under way is given up
CROSSED_M = 0.02  # far tabs must be this far apart across, the left one left, or arms would cross
LAID_M, SETTLES_M = 0.020, 0.001  # height of a tab that is laid down; bulge that goes once it is let go
BULGES_M = 0.012  # a cloth this much less than it may be in the end, above held tabs
RISES_M = 0.008  # of what a hand is told over where it is, beyond its droop: it is being lifted
ARCHED_M, LANDING_M = 0.072, 0.058  # no tab is carried higher in a fold; nor near its end
LIFTED_M = 0.045  # height of a vertex near the near edge
NARROW, STRETCHED_M = 0.88, 0.030  # width of a rumpled row, in full ones; far tabs as good as where they lay


def must_be_spread(situation: FoldSituation) -> bool:
    """Whether it must be spread where it lay before it can be folded: crumpled, rumpled, or gone astray."""
    s = situation
    if s.folded:
        return False
    crooked_m = s.lying_fit(slice(0, s.cloth.rows // 2))[1]
    if _under_way(s):
        return crooked_m > TANGLED_M
    if max(s.way_left_m(side) for side in (0, 1)) < NEARLY_M and s.top_m > s.flat_enough_m:
        return True
    return _astray(s) or _rumpled(s) or crooked_m > CROOKED_M or _hangs(s)


def to_be_shaken_out(situation: FoldSituation) -> bool:
    """Whether both hands shall take the far tabs first, since pulling single ones is no way to spread it."""
    s = situation
    across = s.start_m[2] - s.start_m[3]
    apart = (s.tab_m[2, :2] - s.tab_m[3, :2]) @ across / np.linalg.norm(across)
    within = all(s.within_reach(2 + side) or s.held[side] == 2 + side for side in (0, 1))
    return bool(within and apart > CROSSED_M and (_both(s) or not _far_off(s)))


def _both(s: FoldSituation) -> bool:
    return all(s.held[side] == 2 + side for side in (0, 1))


def _hangs(s: FoldSituation) -> bool:
    """Between both hands, its far edge higher than any fold needs, or its near edge off the desk."""
    high = s.tab_m[2:, 2].max() > ARCHED_M
    return _both(s) and bool(high or s.vertices_m[:2, :, 2].max() > LIFTED_M)


def _under_way(s: FoldSituation) -> bool:
    """Both hands have carried their far tab some way: rows between them get narrow, and wide again.

    Who gave such a fold up for what the next step mends would turn back and forth until time is up.
    """
    left, high_m = [s.way_left_m(side) for side in (0, 1)], float(s.tab_m[2:, 2].max())
    if max(left) < NEARLY_M and high_m < LAID_M:
        return s.top_m < s.flat_enough_m + SETTLES_M
    holds = [s.held[side] == 2 + side for side in (0, 1)]
    carried = [holds[side] or left[side] < NEARLY_M for side in (0, 1)]
    rises = all(hand.commanded_tcp_m[2] - hand.tcp_m[2] > RISES_M for hand in s.hands)
    if max(left) < NEARLY_M and (rises or high_m > LANDING_M):  # it was laid, bulged, and is taken up again
        return False
    bulges = s.top_m - high_m > s.flat_enough_m - BULGES_M
    if bulges or not any(holds):
        return False
    return all(carried) and high_m < ARCHED_M and max(left) < UNDER_WAY * s.span_m


def _astray(s: FoldSituation) -> bool:
    """Lies where hands cannot fold it: too near, too far off, or just too far from where it lay."""
    if s.tab_m[:2, 0].min() < NEAREST_M:
        return True
    if max(s.way_left_m(side) for side in (0, 1)) < NEARLY_M:
        return False
    moved = np.linalg.norm(s.tab_m[:2, :2] - s.start_m[:2], axis=1).max() > ASTRAY_M
    return _far_off(s) or bool(moved)


def _far_off(s: FoldSituation) -> bool:
    bases = np.array([hand.base_m[:2] for hand in s.hands])
    return bool(np.linalg.norm(s.tab_m[2:, :2] - bases, axis=1).max() > FARTHEST_M)


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

"""How both hands shake a cloth out: hung from its far tabs it gets straight, and is laid down outwards.

One hand that pulls single tabs straight moves the others away again, and takes 2.4 s for each. A cloth that
hangs from both far tabs straightens all four by its weight, and the hands hold what they are to fold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sop_envs.tasks.cloth_fold import FoldSituation

FREE_M = 0.015  # of a hanging cloth's tabs, over its length
BACK_M, LOW_M = 0.055, 0.035  # tabs below are on their way back; the height at which they are
HANG_OUT, TURN_OUT = 0.20, 0.40  # shares of the way out: where it hangs; beyond, height tells the way
LANDING_OUT, LAID_OUT = 0.85, 1.15  # beyond, it is laid down however it is; where it is stretched to
STRIDE_M, UP_STRIDE_M = 0.020, 0.035  # per control step; the latter where a fold was given up
AHEAD, STRAIGHT, SLACK = 0.45, 0.75, 0.88  # near edge before the far one; chords, in lengths of the cloth
LANDING_M, LANDED_M = 0.070, 0.045  # least height of a tab on its way out, and in the end


@dataclass(frozen=True)
class Way:
    """Where a far tab goes next, (3,), and by how much per control step at most."""

    tab_m: NDArray[np.float64]
    stride_m: float


def hang_or_lay(situation: FoldSituation, side: int) -> Way:
    """The next of the far tab of a side while both are held.

    Up, over where the near edge lay, until the cloth hangs; then outwards, and down as fast as the near edge
    on the desk allows. Tabs go back low and out high, so that their height tells which of the two it is.
    """
    s, far, length_m = situation, 2 + side, situation.cloth.length_m
    out, heights = [_share_out(s, s.tab_m[tab]) for tab in (2, 3)], s.tab_m[2:, 2].tolist()
    ahead = max(_share_out(s, s.corners_m[near]) - out[near] for near in (0, 1))
    chords_m = np.linalg.norm(s.corners_m[2:] - s.corners_m[:2], axis=1)
    if min(heights) > BACK_M and min(out) > LANDING_OUT:
        share, height = LAID_OUT, LANDED_M
    elif min(heights) > BACK_M and ahead < AHEAD and chords_m.min() > STRAIGHT * length_m:
        off_m = float(np.linalg.norm(s.tab_m[far, :2] - s.corners_m[side, :2])) + STRIDE_M
        height = max(LANDING_M, math.sqrt(max(0.0, (SLACK * length_m) ** 2 - off_m**2)))
        share = min(LAID_OUT, out[side] + 0.3)
    else:
        low = any(z < BACK_M and share > TURN_OUT for share, z in zip(out, heights, strict=True))
        share, height = HANG_OUT, LOW_M if low and out[side] > TURN_OUT else length_m + FREE_M
    near, place = s.start_m[side], s.start_m[far]
    way = np.array([*(near + share * (place - near)), height]) - s.tab_m[far]
    up = out[side] < TURN_OUT and s.tab_m[far, 2] < BACK_M
    stride_m = UP_STRIDE_M if up else STRIDE_M
    return Way(s.tab_m[far] + way * min(1.0, 2 * stride_m / max(1e-6, float(np.linalg.norm(way)))), stride_m)


def _share_out(s: FoldSituation, point_m: NDArray[np.float64]) -> float:
    """Share of the way from where the near edge lay to where the far one did."""
    near, far = s.start_m[:2].mean(0), s.start_m[2:].mean(0)
    return float((point_m[:2] - near) @ (far - near) / ((far - near) @ (far - near)))

"""What of a cloth's lying is put right first, and what a hand does that is caught."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
from sop_envs.experts import cloth as cloth_expert
from sop_envs.experts.lying import leading
from sop_envs.hand import Hand
from sop_envs.tasks.cloth_fold import FoldSituation

START_M = np.array([[0.15, 0.1], [0.15, -0.1], [0.30, 0.1], [0.30, -0.1]])
LEFT = 0


def lying(moved_m: dict[int, tuple[float, float]]) -> FoldSituation:
    """A cloth whose tabs lie where they lay, but for some that were moved."""
    tab_m = np.column_stack([START_M, np.full(4, 0.008)])
    for tab, way_m in moved_m.items():
        tab_m[tab, :2] += way_m
    return cast(FoldSituation, SimpleNamespace(start_m=START_M, tab_m=tab_m))


def test_the_tab_that_pulls_the_cloth_after_it_comes_first():
    """A cloth too near is pushed back by nothing: its far tab draws it, and the near one if it is too far."""
    assert leading(lying({0: (-0.06, 0.0), 2: (-0.06, 0.0)}), LEFT) == (2, 0)
    assert leading(lying({0: (0.06, 0.0), 2: (0.06, 0.0)}), LEFT) == (0, 2)


def test_a_tab_that_lies_nearly_where_it_lay_waits_for_one_that_does_not():
    """Else it is fetched and brought for ever, while each bringing of the other's edge moves it again."""
    assert leading(lying({0: (-0.09, 0.0), 2: (-0.02, 0.0)}), LEFT) == (0, 2)
    assert leading(lying({0: (0.02, 0.0), 2: (0.09, 0.0)}), LEFT) == (2, 0)


def test_a_hand_that_is_caught_under_something_is_lifted_and_not_told_to_open_for_ever():
    def opens(tcp_m: tuple[float, float, float]) -> bool:
        hand = SimpleNamespace(
            tcp_m=tcp_m, commanded_tcp_m=(0.12, -0.23, 0.011), jaw_rad=0.12, commanded_jaw_rad=0.45
        )
        return cloth_expert._opening(cast(Hand, hand))

    assert opens((0.12, -0.23, 0.015))
    assert not opens((0.085, -0.197, 0.010))

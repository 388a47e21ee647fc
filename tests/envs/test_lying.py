"""What of a cloth's lying is put right first, and what a hand does that is caught."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
from sop_envs.experts import fingers
from sop_envs.experts.hanging import hang_or_lay
from sop_envs.experts.lying import leading, must_be_spread, to_be_shaken_out
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
        return fingers.opening(cast(Hand, hand))

    assert opens((0.12, -0.23, 0.015))
    assert not opens((0.085, -0.197, 0.010))


def carried(far_xz_m: tuple[float, float], near_x_m: float = 0.15, **other: object) -> FoldSituation:
    """A cloth between both hands: its far tabs and its near edge there, in x, and the former in z."""
    tab_m = np.column_stack([START_M, np.full(4, 0.008)])
    tab_m[:2, 0], tab_m[2:, 0], tab_m[2:, 2] = near_x_m, *far_xz_m
    hand = SimpleNamespace(tcp_m=np.zeros(3), commanded_tcp_m=np.zeros(3), base_m=np.array([0.0, 0.1, 0.0]))
    way_left_m = abs(far_xz_m[0] - near_x_m)
    told = {
        "start_m": START_M,
        "tab_m": tab_m,
        "corners_m": tab_m,
        "vertices_m": np.zeros((7, 5, 3)),
        "cloth": SimpleNamespace(length_m=0.15, rows=7),
        "held": [2, 3],
        "hands": [hand, hand],
        "folded": False,
        "span_m": 0.15,
        "narrowest": 1.0,
        "top_m": far_xz_m[1],
        "flat_enough_m": 0.032,
        "within_reach": lambda tab: True,
        "way_left_m": lambda side: way_left_m,
        "lying_fit": lambda rows: (START_M, 0.0),
        **other,
    }
    return cast(FoldSituation, SimpleNamespace(**told))


def test_a_cloth_in_both_hands_is_hung_over_its_place_and_laid_down_outwards():
    """Back low and out high: the way back over a crumpled cloth is not taken for that of laying it down."""

    def goes(far_xz_m: tuple[float, float], near_x_m: float = 0.15) -> list[float]:
        s = carried(far_xz_m, near_x_m)
        return np.sign(np.round(hang_or_lay(s, LEFT).tab_m - s.tab_m[2], 3))[[0, 2]].tolist()

    assert goes((0.30, 0.035), near_x_m=0.25) == [-1, 0]
    assert goes((0.18, 0.035)) == [0, 1]
    assert goes((0.18, 0.150)) == [1, -1]
    assert goes((0.30, 0.080)) == [1, -1]


def test_both_hands_shake_a_cloth_out_unless_their_arms_would_cross():
    assert to_be_shaken_out(carried((0.30, 0.008), held=[None, None]))
    crossed_m = np.column_stack([START_M[[0, 1, 3, 2]], np.full(4, 0.008)])
    assert not to_be_shaken_out(carried((0.30, 0.008), held=[None, None], tab_m=crossed_m))


def test_a_fold_under_way_is_not_given_up_for_rows_that_get_narrow():
    """They get wide again; who turned back for them would turn to and fro until time is up."""
    assert not must_be_spread(carried((0.22, 0.040), narrowest=0.85))
    assert must_be_spread(carried((0.22, 0.040), narrowest=0.85, held=[2, None]))


def test_a_bulge_between_corners_that_lie_as_they_should_is_shaken_out():
    laid = carried((0.16, 0.010), top_m=0.040)
    assert must_be_spread(laid)
    rising = SimpleNamespace(tcp_m=np.zeros(3), commanded_tcp_m=np.array([0.0, 0.0, 0.02]))
    assert must_be_spread(carried((0.16, 0.030), top_m=0.040, hands=[rising, rising], held=[2, 3]))
    assert not must_be_spread(carried((0.16, 0.030), top_m=0.040))

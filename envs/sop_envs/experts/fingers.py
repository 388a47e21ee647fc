"""What the fingers of a hand at a cloth are up against: something that catches, stops or props them."""

from __future__ import annotations

import math

from sop_envs.experts.arm import FOLDING
from sop_envs.hand import Hand
from sop_envs.tasks.cloth_scene import READY_JAW_RAD

BENT_BACK_RAD = 2.1  # pitch of a hand that points back to its base
WEDGED_M = 0.030  # from where it is commanded: fingers are caught under something
FREE_JAW_RAD = 0.15  # a jaw that will not open further is lifted off its tab


def opening(hand: Hand) -> bool:
    """A jaw told to open may still do so; one that something keeps from it is lifted."""
    if math.dist(hand.tcp_m, hand.commanded_tcp_m) > WEDGED_M:
        return False
    return hand.jaw_rad < FREE_JAW_RAD or hand.commanded_jaw_rad < READY_JAW_RAD - 0.05


def pressing(hand: Hand) -> bool:
    """On something: it does not get down to where it is told to be."""
    lowest = hand.commanded_tcp_m[2] < FOLDING.lowest_m + 0.001
    return lowest or hand.tcp_m[2] - hand.commanded_tcp_m[2] > 0.010


def flat_if_bent_back(hand: Hand, joints_rad: list[float]) -> list[float]:
    """A hand bent back under its arm is rolled flat: on edge, its finger props itself against the desk."""
    if sum(hand.arm_rad[1:4]) < BENT_BACK_RAD:
        return joints_rad
    return [*joints_rad[:4], 0.0, joints_rad[5]]

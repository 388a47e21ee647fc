"""Robots are spread over families as the paper spreads them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sop_bench.errors import ConfigurationError
from sop_bench.fleet.allocation import PAPER_ROBOTS, allocate

TASKS = (
    "restock/flat-shelf",
    "restock/correct",
    "restock/freezer",
    "restock/cooler",
    "cloth/fold",
    "cloth/quarter",
    "box/close",
)


def families(robots: int) -> Counter:
    return Counter(tasks[0].split("/")[0] for tasks in allocate(robots, TASKS))


def test_ten_robots_are_the_papers():
    assert families(10) == PAPER_ROBOTS


@given(st.integers(3, 200))
def test_every_family_has_robots_and_nearly_its_share(robots: int):
    found = families(robots)
    assert found.total() == robots
    for family, count in PAPER_ROBOTS.items():
        assert found[family] >= 1
        assert abs(found[family] - robots * count / 10) <= 1


def test_the_robots_of_a_family_do_all_its_tasks_and_begin_with_different_ones():
    restocking = [tasks for tasks in allocate(10, TASKS) if tasks[0].startswith("restock")]
    assert all(sorted(tasks) == sorted(TASKS[:4]) for tasks in restocking)
    assert len({tasks[0] for tasks in restocking}) == 4


def test_a_fleet_smaller_than_the_families_does_everything_everywhere():
    one, other = allocate(2, TASKS)
    assert sorted(one) == sorted(other) == sorted(TASKS)
    assert one[0] != other[0]
    assert allocate(0, TASKS) == ()


def test_a_family_that_the_paper_does_not_have_gets_robots_too():
    assert allocate(2, ("restock/a", "weld/b")) == (("restock/a",), ("weld/b",))


def test_impossible_proportions_are_refused():
    with pytest.raises(ConfigurationError, match="above 0"):
        allocate(3, TASKS, {"restock": 0})
    with pytest.raises(ConfigurationError, match="at least one task"):
        allocate(3, ())

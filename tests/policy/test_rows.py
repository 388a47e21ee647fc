"""Rows of certain tasks, taken out of a batch and put back."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from sop_bench.policy.rows import Rows

tasks = st.lists(st.integers(0, 3), min_size=1, max_size=12)
wanted = st.frozensets(st.integers(0, 3))


def test_all_rows_are_taken_and_put_without_a_copy():
    values = torch.randn(3, 2)
    for rows in (Rows.of([0, 1, 2], None), Rows.of([1, 1, 1], {1})):
        assert rows.take(values) is values
        assert rows.put(values) is values


@given(tasks, wanted)
def test_what_is_put_back_stands_where_it_was_and_the_rest_is_zero(tasks, wanted):
    values = torch.arange(1.0, len(tasks) + 1)[:, None]
    rows = Rows.of(tasks, wanted)
    meant = torch.tensor([task in wanted for task in tasks])[:, None]
    assert len(rows) == int(meant.sum())
    torch.testing.assert_close(rows.put(rows.take(values)), torch.where(meant, values, 0.0))


@given(tasks, wanted, wanted)
def test_rows_of_rows_are_rows_of_the_whole_batch(tasks, outer, inner):
    values = torch.arange(len(tasks))
    first = Rows.of(tasks, outer)
    second = Rows.of([tasks[row] for row in first.take(values).tolist()], inner)
    both = second.among(first)
    assert both.take(values).tolist() == Rows.of(tasks, outer & inner).take(values).tolist()
    assert both.total == len(tasks)

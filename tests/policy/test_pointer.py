"""Pointing: candidates stay candidates."""

from __future__ import annotations

import pytest
import torch

from sop_bench.policy.pointer import (
    Pointer,
    Votes,
    attended,
    pointed,
    pointed_together,
    pointing_loss,
    votes_of,
)


def two_candidates(first_weight: float) -> Votes:
    """Two neighbouring cells vote for about (0, 0), one for (2, 0); the rest of the weight is on nothing."""
    weight = torch.tensor([[first_weight, 0.1, 0.8 - first_weight, 0.1]])
    position = torch.tensor([[[0.02, 0.0], [-0.02, 0.0], [2.0, 0.0]]])
    return Votes(weight.log(), position)


def test_points_at_one_candidate_and_never_between_two():
    near, far = pointed(two_candidates(0.5)), pointed(two_candidates(0.2))
    assert near[0, :2].norm() < 0.03
    assert (far[0, :2] - torch.tensor([2.0, 0.0])).norm() < 0.01


def test_neighbours_that_agree_refine_the_position_and_add_weight():
    place = pointed(two_candidates(0.5))[0]
    assert abs(place[0]) < 0.02
    assert 0.5 < place[2] < 0.65


def test_the_loss_is_least_where_the_likelier_candidate_is():
    votes = two_candidates(0.6)
    at = [pointing_loss(votes, torch.tensor([[x, 0.0]])).item() for x in (0.0, 1.0, 2.0)]
    assert at[0] < at[2] < at[1]


def test_a_thing_outside_the_image_costs_a_bounded_amount():
    votes = two_candidates(0.6)
    far, further = (pointing_loss(votes, torch.tensor([[x, 0.0]])) for x in (100.0, 1000.0))
    torch.testing.assert_close(far, further)


def test_what_is_attended_is_mixed_by_belief_without_teaching_the_belief():
    weight = torch.tensor([[0.5, 0.1, 0.3, 0.1]], requires_grad=True)
    cells = torch.eye(3)[None].requires_grad_()
    seen = attended(Votes(weight.log(), torch.zeros(1, 3, 2)), cells)
    torch.testing.assert_close(seen, torch.tensor([[0.5, 0.1, 0.3]]))
    seen.sum().backward()
    assert cells.grad is not None
    assert weight.grad is None


@pytest.mark.parametrize("pose_dim", [0, 5])
@pytest.mark.parametrize("lengths", [(3,), (3, 3, 3), (3, 2)])
def test_pointers_together_say_what_each_says_alone(lengths, pose_dim):
    generator = torch.Generator().manual_seed(0)
    pointers = [Pointer(channels=6, cells=8, pose_dim=pose_dim, label_dim=length) for length in lengths]
    with torch.no_grad():
        for parameter in (parameter for pointer in pointers for parameter in pointer.parameters()):
            parameter.normal_(std=0.3, generator=generator)
    grid, pose = torch.randn(4, 8, 6, generator=generator), torch.randn(4, pose_dim, generator=generator)
    alone, together = [pointer(grid, pose) for pointer in pointers], votes_of(pointers, grid, pose)
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one.log_weight, other.log_weight)
        torch.testing.assert_close(one.position, other.position)
    for one, place in zip(alone, pointed_together(together), strict=True):
        torch.testing.assert_close(pointed(one), place, rtol=1e-4, atol=1e-5)

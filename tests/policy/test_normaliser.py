"""Radians to network units and back."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from sop_bench.policy.normaliser import Normaliser, TaskNormaliser

JOINTS = ("pan", "parked", "right_gripper")


def fitted(seed: int, spread_rad: float) -> tuple[Normaliser, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    commanded_rad = spread_rad * torch.randn(20, 3, generator=generator)
    chunk_rad = commanded_rad[:, None] + spread_rad * torch.randn(20, 4, 3, generator=generator)
    commanded_rad[:, 1], chunk_rad[..., 1] = 1.25, 1.25
    normaliser = Normaliser(2, JOINTS, chunk_steps=4)
    valid = torch.ones(20, 4, dtype=torch.bool)
    normaliser.fit(torch.randn(20, 2, generator=generator), commanded_rad, chunk_rad, valid)
    return normaliser, chunk_rad, commanded_rad


@given(st.integers(0, 1000), st.floats(0.01, 3.0))
def test_decoding_undoes_encoding(seed, spread_rad):
    normaliser, chunk_rad, commanded_rad = fitted(seed, spread_rad)
    encoded = normaliser.encode_chunk(chunk_rad, commanded_rad)
    torch.testing.assert_close(
        normaliser.decode_chunk(encoded, commanded_rad), chunk_rad, atol=1e-5, rtol=1e-5
    )


@given(st.integers(0, 1000))
def test_a_parked_joint_stays_parked_whatever_the_network_says(seed):
    normaliser, chunk_rad, commanded_rad = fitted(seed, 0.3)
    encoded = normaliser.encode_chunk(chunk_rad, commanded_rad)
    assert torch.isfinite(encoded).all()
    decoded = normaliser.decode_chunk(encoded + 0.1, commanded_rad)
    assert (decoded[..., 1] - 1.25).abs().max() < 1e-6


def test_a_parked_joint_that_was_moved_is_led_back_to_where_demonstrations_had_it():
    normaliser, chunk_rad, commanded_rad = fitted(0, 0.3)
    encoded = normaliser.encode_chunk(chunk_rad, commanded_rad)
    decoded = normaliser.decode_chunk(encoded, commanded_rad + 0.5)
    assert (decoded[..., 1] - 1.25).abs().max() < 1e-6


def test_arm_joints_are_relative_and_grippers_absolute():
    normaliser, chunk_rad, commanded_rad = fitted(0, 0.3)
    before = normaliser.encode_chunk(chunk_rad, commanded_rad)
    moved = torch.tensor([0.5, 0.0, 0.0])
    after = normaliser.encode_chunk(chunk_rad + moved, commanded_rad + moved)
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)


def test_masked_steps_do_not_enter_the_statistics():
    normaliser, chunk_rad, commanded_rad = fitted(0, 0.3)
    valid = torch.ones(20, 4, dtype=torch.bool)
    valid[10:, 2:] = False
    spoilt = chunk_rad.clone()
    spoilt[10:, 2:] = 99.0
    normaliser.fit(torch.zeros(20, 2), commanded_rad, spoilt, valid)
    assert normaliser.chunk_mean.abs().max() < 2
    assert normaliser.gripper_high_rad.max() < 2


def test_grippers_snap_to_the_nearer_end():
    normaliser = Normaliser(2, JOINTS, chunk_steps=2)
    normaliser.gripper_low_rad.copy_(torch.tensor([0.0, 0.0, -0.2]))
    normaliser.gripper_high_rad.copy_(torch.tensor([0.0, 0.0, 0.8]))
    chunk_rad = torch.tensor([[[0.4, 0.4, 0.25], [0.4, 0.4, 0.35]]])
    expected = torch.tensor([[[0.4, 0.4, -0.2], [0.4, 0.4, 0.8]]])
    torch.testing.assert_close(normaliser.snap_grippers(chunk_rad), expected)


# ------------------------------------------------------------------------------------------- several tasks

PARKED_RAD = 0.7


def two_tasks(carried: int = 200, spread: int = 200) -> tuple[torch.Tensor, ...]:
    # ------------------------------------------------------------------------------------ several tasks
    generator = torch.Generator().manual_seed(0)
    task = torch.cat([torch.zeros(carried, dtype=torch.int64), torch.ones(spread, dtype=torch.int64)])
    extent = torch.where(task == 0, 1.0, 0.01)[:, None, None]
    commanded_rad = torch.randn(len(task), 3, generator=generator)
    chunk_rad = commanded_rad[:, None] + extent * torch.randn(len(task), 4, 3, generator=generator)
    commanded_rad[task == 0, 1] = PARKED_RAD
    chunk_rad[task == 0, :, 1] = PARKED_RAD
    closed = torch.rand(len(task), 4, generator=generator) < 0.5
    chunk_rad[..., 2] = torch.where(closed, -0.2, torch.where(task == 0, 0.8, 0.3)[:, None])
    state = torch.randn(len(task), 2, generator=generator) + task[:, None]
    return state, commanded_rad, chunk_rad, torch.ones(len(task), 4, dtype=torch.bool), task


def fitted_to_both(carried: int = 200, spread: int = 200) -> TaskNormaliser:
    normaliser = TaskNormaliser(2, 2, JOINTS, chunk_steps=4)
    normaliser.fit(*two_tasks(carried, spread))
    return normaliser


def test_decoding_undoes_encoding_in_every_task():
    normaliser, (_, commanded_rad, chunk_rad, _, task) = fitted_to_both(), two_tasks()
    mixed = torch.randperm(len(task), generator=torch.Generator().manual_seed(1))
    chunk_rad, commanded_rad, task = chunk_rad[mixed], commanded_rad[mixed], task[mixed]
    encoded = normaliser.encode_chunk(chunk_rad, commanded_rad, task)
    torch.testing.assert_close(normaliser.decode_chunk(encoded, commanded_rad, task), chunk_rad)


def test_a_small_motion_is_as_large_as_a_far_one_in_network_units():
    normaliser, (_, commanded_rad, chunk_rad, _, task) = fitted_to_both(), two_tasks()
    pan_z = normaliser.encode_chunk(chunk_rad, commanded_rad, task)[..., 0]
    far, small = pan_z[task == 0].std(), pan_z[task == 1].std()
    assert far > 0.9
    assert small > 0.3  # and not 0.01: only the floor of the scale keeps it below one


def test_an_arm_that_one_task_moves_is_held_still_in_another():
    normaliser = fitted_to_both()
    commanded_rad = torch.tensor([[0.0, PARKED_RAD + 0.1, 0.0]] * 2)
    confused = torch.ones(2, 4, 3)
    decoded = normaliser.decode_chunk(confused, commanded_rad, torch.tensor([0, 1]))
    assert (decoded[0, :, 1] - PARKED_RAD).abs().max() < 1e-6
    assert (decoded[1, :, 1] - commanded_rad[1, 1]).abs().min() > 1e-3


def test_grippers_snap_to_the_ends_of_their_task():
    snapped = fitted_to_both().snap_grippers(torch.full((2, 4, 3), 0.4), torch.tensor([0, 1]))
    torch.testing.assert_close(snapped[:, 0, 2], torch.tensor([0.8, 0.3]))


def test_another_task_does_not_decide_how_states_look():
    state, commanded_rad, chunk_rad, valid, task = two_tasks()
    elsewhere = torch.where(task[:, None] == 0, state, 100 * state)
    both = TaskNormaliser(2, 2, JOINTS, chunk_steps=4)
    both.fit(elsewhere, commanded_rad, chunk_rad, valid, task)
    assert torch.equal(both.state(state[:1], task[:1]), fitted_to_both().state(state[:1], task[:1]))


def test_of_each_task_it_does_what_a_normaliser_of_it_alone_does():
    both = fitted_to_both()
    state, commanded_rad, chunk_rad, valid, task = two_tasks()
    for index in (0, 1):
        rows = task == index
        alone = Normaliser(2, JOINTS, chunk_steps=4)
        alone.fit(state[rows], commanded_rad[rows], chunk_rad[rows], valid[rows])
        assert torch.equal(both.state(state[rows], task[rows]), alone.state(state[rows]))
        assert torch.equal(
            both.commanded(commanded_rad[rows], task[rows]), alone.commanded(commanded_rad[rows])
        )
        assert torch.equal(
            both.encode_chunk(chunk_rad[rows], commanded_rad[rows], task[rows]),
            alone.encode_chunk(chunk_rad[rows], commanded_rad[rows]),
        )


def test_a_task_without_frames_takes_the_statistics_of_all():
    normaliser = TaskNormaliser(3, 2, JOINTS, chunk_steps=4)
    normaliser.fit(*two_tasks())
    decoded = normaliser.decode_chunk(torch.zeros(1, 4, 3), torch.zeros(1, 3), torch.tensor([2]))
    assert torch.isfinite(decoded).all()

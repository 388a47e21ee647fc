"""Radians to network units and back."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from sop_bench.policy.normaliser import Normaliser

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

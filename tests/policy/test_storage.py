"""Weights in fewer bytes: what is lost is bounded by a row's scale, and only the head loses it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_policy import a_policy, an_observation

from sop_bench.errors import ContractError, CorruptDataError
from sop_bench.policy.checkpoint import load_checkpoint, save_checkpoint
from sop_bench.policy.storage import packed, unpacked


@given(st.integers(0, 2**31), st.floats(1e-6, 1e4))
def test_a_byte_is_never_further_off_than_half_a_level_of_its_row(seed, size):
    matrix = size * torch.randn(5, 7, generator=torch.Generator().manual_seed(seed))
    matrix[2] = 0.0
    back = unpacked(packed({"head.out.weight": matrix}, "int8"))["head.out.weight"]
    level = matrix.abs().amax(dim=1, keepdim=True) / 127
    assert ((back - matrix).abs() <= 0.5001 * level).all()
    assert (back[2] == 0).all()


def test_biases_and_the_encoder_keep_half_precision():
    weights = {"head.out.bias": torch.randn(4), "encoder.mix.weight": torch.randn(4, 4)}
    stored = packed(weights, "int8")
    assert {name: value.dtype for name, value in stored.items()} == dict.fromkeys(weights, torch.float16)


def test_a_file_in_bytes_acts_nearly_as_the_policy_and_is_smaller(tmp_path):
    policy = a_policy()
    sizes = {}
    for storage in ("float16", "int8"):
        save_checkpoint(policy, tmp_path / storage, storage=storage)
        sizes[storage] = (tmp_path / storage).stat().st_size
    loaded = load_checkpoint(tmp_path / "int8").policy
    rng = np.random.default_rng(0)
    expected = policy.act(an_observation(), rng)
    np.testing.assert_allclose(loaded.act(an_observation(), rng), expected, atol=0.05)
    assert sizes["int8"] < sizes["float16"]


def test_weights_that_are_not_finite_are_refused_in_bytes_too(tmp_path):
    for broken in (float("nan"), float("inf")):
        policy = a_policy()
        with torch.no_grad():
            policy.head.out.weight[0, 0] = broken
        with pytest.raises(ContractError, match="Refused to save"):
            save_checkpoint(policy, tmp_path / "p", storage="int8")
    assert not (tmp_path / "p").exists()


def test_bytes_without_their_scales_are_called_damaged(tmp_path, monkeypatch):
    from sop_bench.policy import checkpoint

    def without_scales(weights, storage):
        return {n: v for n, v in packed(weights, storage).items() if not n.endswith("/scale")}

    monkeypatch.setattr(checkpoint, "packed", without_scales)
    save_checkpoint(a_policy(), tmp_path / "p", storage="int8")
    with pytest.raises(CorruptDataError, match="does not hold the weights of its own configuration"):
        load_checkpoint(tmp_path / "p")

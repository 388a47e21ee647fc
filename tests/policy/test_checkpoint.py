"""Checkpoints and updates: whole, named by content, and refused when broken."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_policy import a_policy, an_observation

from sop_bench.errors import ConfigurationError, ContractError, CorruptDataError
from sop_bench.policy.checkpoint import (
    apply_update,
    load_checkpoint,
    load_update,
    save_checkpoint,
    save_update,
    update_bytes,
)

RNG = np.random.default_rng(0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "policy.safetensors"


def test_a_loaded_policy_acts_bit_for_bit_as_the_saved_one(path):
    policy = a_policy()
    version = save_checkpoint(policy, path, storage="float32", facts={"task": "reach"})
    loaded = load_checkpoint(path)
    for seed in range(3):
        expected = policy.act(an_observation(seed), RNG)
        np.testing.assert_array_equal(loaded.policy.act(an_observation(seed), RNG), expected)
    assert loaded.policy.version == version
    assert loaded.facts == {"task": "reach"}
    assert loaded.policy.config == policy.config


def test_half_precision_survives_being_saved_again(path, tmp_path):
    first = save_checkpoint(a_policy(), path)
    once = load_checkpoint(path).policy
    again = tmp_path / "again.safetensors"
    assert save_checkpoint(once, again) == first
    twice = load_checkpoint(again).policy
    np.testing.assert_array_equal(once.act(an_observation(), RNG), twice.act(an_observation(), RNG))


def test_other_weights_have_another_name(path):
    assert save_checkpoint(a_policy(0), path) != save_checkpoint(a_policy(1), path)


def test_leaves_nothing_but_the_file(path):
    save_checkpoint(a_policy(), path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_weights_that_are_not_finite_are_refused_and_nothing_is_written(path):
    policy = a_policy()
    with torch.no_grad():
        policy.head.out.bias[0] = float("nan")
    with pytest.raises(ContractError, match=r"Refused to save.*'head\.out\.bias'"):
        save_checkpoint(policy, path)
    assert not path.exists()


def test_weights_beyond_half_precision_are_refused(path):
    policy = a_policy()
    with torch.no_grad():
        policy.head.out.bias[0] = 1e6
    with pytest.raises(ContractError, match="Refused to save"):
        save_checkpoint(policy, path)


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-100], lambda d: d[:4], lambda d: b"", lambda d: b"x" * 4096]
)
def test_a_damaged_file_is_called_damaged(path, damage):
    save_checkpoint(a_policy(), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorruptDataError, match="damaged or not from sop-bench"):
        load_checkpoint(path)


def test_a_missing_file_says_how_to_make_one(path):
    with pytest.raises(ConfigurationError, match="sop-bench pretrain"):
        load_checkpoint(path)


def test_an_update_travels(path, tmp_path):
    base = save_checkpoint(a_policy(), path)
    learner, actor = load_checkpoint(path).policy, load_checkpoint(path).policy
    with torch.no_grad():
        learner.head.out.bias.add_(0.125)
    version = save_update(learner.state_for_update(), tmp_path / "update", base, number=3)
    assert load_update(actor, tmp_path / "update", base) == version == actor.version
    assert version.number == 3
    data = update_bytes(learner.state_for_update(), base, 3)
    assert data == (tmp_path / "update").read_bytes()
    twin = load_checkpoint(path).policy
    apply_update(twin, data, base)
    np.testing.assert_array_equal(twin.act(an_observation(), RNG), actor.act(an_observation(), RNG))


def test_an_update_for_another_checkpoint_is_refused(path, tmp_path):
    base = save_checkpoint(a_policy(0), path)
    other = save_checkpoint(a_policy(1), tmp_path / "other")
    policy = load_checkpoint(path).policy
    data = update_bytes(a_policy(1).state_for_update(), other, 1)
    with pytest.raises(ContractError, match="was made for checkpoint"):
        apply_update(policy, data, base)
    assert policy.version == base


def test_an_update_is_not_a_checkpoint(path, tmp_path):
    base = save_checkpoint(a_policy(), path)
    save_update(a_policy().state_for_update(), tmp_path / "update", base, 1)
    with pytest.raises(ConfigurationError, match=r"of format 'sop-bench\.update\.1'"):
        load_checkpoint(tmp_path / "update")

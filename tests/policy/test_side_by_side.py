"""Several processes that train as one."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_policy import a_policy
from test_perception import spots

from sop_bench.errors import ConfigurationError, SopBenchError
from sop_bench.policy.optimisation import OptimiserConfig, adamw, descend
from sop_bench.policy.perception import PerceptionConfig, train_perception
from sop_bench.policy.side_by_side import Team, working_side_by_side


def test_every_row_of_a_batch_belongs_to_one_process():
    rows = torch.arange(12)
    parts = [Team(rank, 3).own(rows) for rank in range(3)]
    assert sorted(torch.cat(parts).tolist()) == list(range(12))
    assert {len(part) for part in parts} == {4}


def test_a_team_of_one_starts_nothing_and_changes_nothing():
    weight = torch.nn.Parameter(torch.ones(3))
    with working_side_by_side(1, lambda team: None) as team:
        loss = (weight[:2].sum()) * 2
        loss.backward()
        assert team.average([weight], loss) is loss
    assert weight.grad is not None
    assert weight.grad.tolist() == [2, 2, 0]


def _trains(team: Team, network: torch.nn.Module, images: torch.Tensor, steps: int) -> None:
    parameters = list(network.parameters())
    optimiser = adamw(parameters, OptimiserConfig())
    for _ in range(steps):
        loss = network(images[team.own(torch.arange(len(images)))]).square().mean()
        descend(
            loss,
            optimiser,
            parameters,
            learning_rate=1e-2,
            clip_norm=1.0,
            share=lambda loss=loss: team.average(parameters, loss),
        )


def test_convolutions_in_either_layout_learn_the_same_in_two_processes_as_in_one():
    """The fused optimiser goes over memory as it lies: a gradient in another layout trains other weights."""
    images = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    trained = {}
    for size in (1, 2):
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 5, 2))
        network.to(memory_format=torch.channels_last)
        with working_side_by_side(size, _trains, network, images, 20) as team:
            _trains(team, network, images, 20)
        trained[size] = network.state_dict()
    for name, one in trained[1].items():
        torch.testing.assert_close(trained[2][name], one, rtol=1e-3, atol=1e-4)


def test_two_processes_learn_what_one_does():
    losses: dict[int, list[float]] = {1: [], 2: []}
    policies = {}
    for workers, found in losses.items():
        policies[workers] = a_policy()
        config = PerceptionConfig(steps=6, batch_size=16, workers=workers)
        generator = torch.Generator().manual_seed(0)
        train_perception(
            policies[workers],
            spots(64),
            config,
            generator,
            lambda step, loss, found=found: found.append(loss),
        )
    # Half of a batch in bfloat16 may round otherwise than the whole.
    np.testing.assert_allclose(losses[2], losses[1], rtol=0.02)
    for name, one in policies[1].encoder.named_parameters():
        two = policies[2].encoder.get_parameter(name)
        assert torch.linalg.vector_norm(two - one) < 0.05 * torch.linalg.vector_norm(one) + 1e-2


@pytest.mark.slow
def test_as_many_processes_give_the_same_bits_again():
    encoders = []
    for _ in range(2):
        policy = a_policy()
        config = PerceptionConfig(steps=3, batch_size=8, workers=2)
        train_perception(policy, spots(32), config, torch.Generator().manual_seed(0))
        encoders.append(policy.encoder.state_dict())
    for name, value in encoders[0].items():
        assert torch.equal(value, encoders[1][name])


def _leaves(team: Team) -> None:
    del team
    os._exit(3)


def _average_with_one_that_leaves() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    with working_side_by_side(2, _leaves) as team:
        for _ in range(100):
            loss = weight.sum()
            loss.backward()
            team.average([weight], loss)
            time.sleep(0.05)


def test_a_process_that_dies_is_an_error_and_not_a_wait():
    with pytest.raises(SopBenchError, match="exit code 3"):
        _average_with_one_that_leaves()


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    with pytest.raises(ConfigurationError, match="divisors of the batch"):
        PerceptionConfig(batch_size=7, workers=2)


def test_a_second_phase_keeps_the_statistics_of_the_first():
    policy, scenes = a_policy(), spots(32)
    config = PerceptionConfig(steps=2, batch_size=8)
    train_perception(policy, scenes, config, torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in policy.encoder.named_buffers()}
    moved = replace(scenes, labels={name: values + 1 for name, values in scenes.labels.items()})
    train_perception(policy, moved, config, torch.Generator().manual_seed(1), keep_statistics=True)
    for name, value in policy.encoder.named_buffers():
        assert torch.equal(value, before[name])

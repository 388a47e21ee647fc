"""A head for each family: each row goes through its own, and one family's frames leave the others alone."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_policy import CONFIG, INSTRUCTION, an_observation
from test_several_tasks import CONFIG_OF_TWO, FOLD
from torch import Tensor

from sop_bench.learner.optimiser import LearnerConfig, Optimiser
from sop_bench.policy.base import EXECUTE_STEPS
from sop_bench.policy.batch import TrainingBatch
from sop_bench.policy.checkpoint import load_checkpoint, save_checkpoint
from sop_bench.policy.config import TaskConfig
from sop_bench.policy.family_heads import FamilyHeads, action_head
from sop_bench.policy.flow import FlowHead
from sop_bench.policy.tokenizer import Tokenizer
from sop_bench.policy.vla import CompactVLA

QUARTER = "fold the cloth in quarters"
CONFIG_OF_THREE = replace(
    CONFIG_OF_TWO,
    tasks=(*CONFIG_OF_TWO.tasks, TaskConfig("cloth/quarter", tuple(sorted(QUARTER.split())), ("tabs",))),
    network=replace(CONFIG_OF_TWO.network, head_per_family=True),
)
PUT, HALF, QUARTERS = range(3)


@pytest.fixture
def policy() -> CompactVLA:
    tokenizer = Tokenizer.build([INSTRUCTION, FOLD, QUARTER], CONFIG.network.max_words)
    policy = CompactVLA(CONFIG_OF_THREE, tokenizer, torch.Generator().manual_seed(0))
    with torch.no_grad():  # a new head answers with zeros, whatever it is asked
        for parameter in policy.head.parameters():
            parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(parameter.numel()))
    return policy


def heads_of(policy: CompactVLA) -> FamilyHeads:
    assert isinstance(policy.head, FamilyHeads)
    return policy.head


def batch_of(tasks: list[int]) -> TrainingBatch:
    generator = torch.Generator().manual_seed(1)
    count = len(tasks)
    features = torch.randn(count, CONFIG_OF_THREE.feature_dim, generator=generator)
    features[:, -3:] = torch.nn.functional.one_hot(torch.tensor(tasks), 3)
    commanded = torch.randn(count, CONFIG.action_dim, generator=generator)
    return TrainingBatch(
        features=features,
        state=torch.randn(count, CONFIG.state_dim, generator=generator),
        commanded_rad=commanded,
        chunk_rad=commanded[:, None].repeat(1, CONFIG.network.chunk_steps, 1),
        valid=torch.ones(count, CONFIG.network.chunk_steps, dtype=torch.bool),
    )


def gradients(policy: CompactVLA, tasks: list[int]) -> dict[str, Tensor | None]:
    policy.zero_grad()
    policy.loss(batch_of(tasks), torch.Generator().manual_seed(0)).mean().backward()
    return {name: parameter.grad for name, parameter in policy.head.named_parameters()}


def test_tasks_of_a_family_share_a_head(policy):
    assert list(heads_of(policy).families) == ["restock", "cloth"]
    assert heads_of(policy).tasks == [{PUT}, {HALF, QUARTERS}]


def test_without_being_asked_for_there_is_one_head():
    assert isinstance(action_head(CONFIG_OF_TWO), FlowHead)
    single = replace(CONFIG, network=replace(CONFIG.network, head_per_family=True))
    assert isinstance(action_head(single), FlowHead)


@pytest.mark.parametrize("tasks", [[PUT, HALF, PUT, QUARTERS, HALF], [QUARTERS, PUT], [HALF]])
def test_each_row_is_answered_by_the_head_of_its_family(policy, tasks):
    batch, head = batch_of(tasks), heads_of(policy)
    task = policy.task_of(batch.features)
    state_z, commanded_z = (
        policy.normaliser.state(batch.state, task),
        policy.normaliser.commanded(batch.commanded_rad, task),
    )
    with torch.no_grad():
        together = head.sample(batch.features, state_z, commanded_z, task)
        for row, index in enumerate(tasks):
            own = head.families["restock" if index == PUT else "cloth"]
            assert isinstance(own, FlowHead)
            alone = own.sample(batch.features[[row]], state_z[[row]], commanded_z[[row]])
            torch.testing.assert_close(together[[row]], alone, rtol=1e-4, atol=1e-5)


def test_losses_come_back_in_the_order_of_their_rows(policy):
    tasks = [HALF, PUT, QUARTERS, PUT]
    batch = batch_of(tasks)
    batch.chunk_rad[1] += 30.0  # one row of restocking is far off: its loss stands out by far
    losses = policy.loss(batch, torch.Generator().manual_seed(0))
    assert losses.shape == (4,)
    assert losses.argmax() == 1


def test_frames_of_one_family_give_the_others_no_gradient(policy):
    for tasks, trained in (([PUT, PUT], "restock"), ([HALF, QUARTERS], "cloth")):
        for name, gradient in gradients(policy, tasks).items():
            assert (gradient is not None) == name.startswith(f"families.{trained}."), name


def test_an_optimiser_resumes_to_the_same_bits_though_one_head_has_had_no_frame(policy):
    resumed = copy.deepcopy(policy)
    optimisers = [Optimiser(dict(p.head.named_parameters()), LearnerConfig()) for p in (policy, resumed)]

    def step(which: int, tasks: list[int]) -> None:
        loss = (policy, resumed)[which].loss(batch_of(tasks), torch.Generator().manual_seed(0)).mean()
        optimisers[which].step(loss)

    step(0, [PUT, PUT])
    optimisers[1].load(optimisers[0].save())
    for tasks in ([PUT, HALF], [QUARTERS]):
        for which in (0, 1):
            step(which, tasks)
    for one, other in zip(policy.head.parameters(), resumed.head.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_family_may_be_asked_more_often_than_others(policy):
    assert policy.execute_steps(INSTRUCTION) == policy.execute_steps(FOLD) == EXECUTE_STEPS
    network = replace(CONFIG_OF_THREE.network, family_execute_steps=(("cloth", 2),))
    tokenizer = Tokenizer.build([INSTRUCTION, FOLD, QUARTER], CONFIG.network.max_words)
    hasty = CompactVLA(replace(CONFIG_OF_THREE, network=network), tokenizer, torch.Generator())
    asked = [hasty.execute_steps(instruction) for instruction in (INSTRUCTION, FOLD, QUARTER)]
    assert asked == [EXECUTE_STEPS, 2, 2]
    assert hasty.config.load(hasty.config.save()) == hasty.config


def test_a_policy_with_a_head_for_each_family_comes_back_from_its_file(policy, tmp_path):
    save_checkpoint(policy, tmp_path / "p.safetensors", storage="float32")
    loaded = load_checkpoint(tmp_path / "p.safetensors").policy
    rng = np.random.default_rng(0)
    chunks = []
    for instruction in (INSTRUCTION, FOLD):
        observation = replace(an_observation(), instruction=instruction)
        chunks.append(loaded.act(observation, rng))
        np.testing.assert_array_equal(chunks[-1], policy.act(observation, rng))
    assert not np.array_equal(*chunks)

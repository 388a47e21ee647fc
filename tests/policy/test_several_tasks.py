"""One encoder for the scenes of several tasks: what a scene does not have teaches nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_policy import CONFIG, INSTRUCTION, a_policy, an_observation
from test_perception import spots
from torch.nn import functional as F

from sop_bench.errors import ConfigurationError
from sop_bench.policy import perception
from sop_bench.policy.checkpoint import load_checkpoint, save_checkpoint
from sop_bench.policy.config import TaskConfig
from sop_bench.policy.perception import PerceptionConfig, train_perception
from sop_bench.policy.pointer import pointing_loss
from sop_bench.policy.scenes import Scenes
from sop_bench.policy.tokenizer import Tokenizer, split_words
from sop_bench.policy.vla import CompactVLA

FOLD = "fold the cloth in half"
CONFIG_OF_TWO = replace(
    CONFIG,
    labels=(("target", 3), ("held", 1), ("tabs", 6)),
    pointing=(("front", "target"), ("front", "tabs"), ("wrist_right", "target")),
    tasks=(
        TaskConfig("restock/put", tuple(sorted({*split_words(INSTRUCTION)})), ("target", "held")),
        TaskConfig("cloth/fold", tuple(sorted({*split_words(FOLD)})), ("tabs",)),
    ),
)


def a_generalist() -> CompactVLA:
    tokenizer = Tokenizer.build([INSTRUCTION, FOLD], CONFIG.network.max_words)
    return CompactVLA(CONFIG_OF_TWO, tokenizer, torch.Generator().manual_seed(0))


def scenes_of_both(count: int = 32) -> Scenes:
    putting, folding = spots(count), spots(count)
    place = putting.labels["target"]
    folding = replace(
        folding,
        instructions=np.array([FOLD] * count),
        labels={"tabs": np.concatenate([place, place + 1], axis=1)},
    )
    return Scenes.joined([putting, folding])


def test_joined_scenes_have_the_labels_of_all_and_nan_where_a_task_lacks_one():
    scenes = scenes_of_both(4)
    assert list(scenes.labels) == ["target", "held", "tabs"]
    assert np.isnan(scenes.labels["tabs"][:4]).all()
    assert not np.isnan(scenes.labels["tabs"][4:]).any()
    assert np.isnan(scenes.labels["held"][4:]).all()
    assert scenes.instructions.tolist() == [INSTRUCTION] * 4 + [FOLD] * 4


def test_a_name_that_two_tasks_use_for_labels_of_other_lengths_is_refused():
    other = replace(spots(2), labels={"held": np.zeros((2, 2), np.float32)})
    with pytest.raises(ConfigurationError, match=r"Label 'held' has 2 values .* and 1 in others"):
        Scenes.joined([spots(2), other])


def test_statistics_of_a_label_are_those_of_the_scenes_that_have_it():
    policy, scenes = a_generalist(), scenes_of_both()
    train_perception(
        policy, scenes, PerceptionConfig(steps=2, batch_size=8), torch.Generator().manual_seed(0)
    )
    tabs = torch.from_numpy(scenes.labels["tabs"][32:])
    place = CONFIG_OF_TWO.label_slice("tabs")
    torch.testing.assert_close(policy.encoder.label_mean[place], tabs.mean(dim=0))
    torch.testing.assert_close(policy.encoder.label_scale[place], tabs.std(dim=0, correction=0) + 0.02)
    assert all(torch.isfinite(value).all() for value in policy.encoder.state_dict().values())


def see(policy: CompactVLA, scenes: Scenes) -> perception.Sight:
    tokens = policy.tokenizer(scenes.instructions.tolist())
    return policy.encoder.see(
        {name: torch.from_numpy(scenes.images[name]) for name in policy.cameras},
        policy.encoder.embed_language(tokens),
        torch.from_numpy(scenes.state),
        policy.recogniser(tokens),
    )


def test_labels_that_a_scene_lacks_get_no_gradient_and_every_scene_the_same_weight():
    policy, scenes = a_generalist(), scenes_of_both(4)
    policy.encoder.requires_grad_(True)
    sight = see(policy, scenes)
    sight.labels.retain_grad()
    targets = torch.from_numpy(np.concatenate([scenes.labels[n] for n, _ in CONFIG_OF_TWO.labels], axis=1))
    perception._loss(CONFIG_OF_TWO, sight, torch.where(targets.isnan(), targets, 100.0)).backward()
    gradient = sight.labels.grad
    assert gradient is not None
    assert (gradient[:4, 4:] == 0).all()
    assert (gradient[4:, :4] == 0).all()
    weight = gradient.abs().sum(dim=1)
    torch.testing.assert_close(weight, weight[:1].expand(8))


def test_with_all_labels_the_loss_is_that_of_a_single_task_bit_for_bit():
    policy, scenes = a_policy(), spots(16)
    policy.encoder.requires_grad_(True)
    targets = torch.from_numpy(np.concatenate([scenes.labels[n] for n, _ in CONFIG.labels], axis=1))
    parameters = list(policy.encoder.parameters())
    sight = see(policy, scenes)
    masked = perception._loss(CONFIG, sight, targets)
    plain = 2.0 * F.smooth_l1_loss(sight.labels, targets, beta=0.03)
    plain = plain + pointing_loss(sight.votes["front"][0][1], targets[:, :3]).mean()
    gradients = [
        torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        for loss in (masked, plain)
    ]
    assert torch.equal(masked, plain)
    for one, other in zip(*gradients, strict=True):
        assert one is other is None or (one == other).all()


def test_each_position_of_a_label_is_pointed_at_by_itself():
    """Four flaps of a carton are one label in four places: one vote for all twelve numbers read none well."""
    policy, scenes = a_generalist(), scenes_of_both(2)
    assert CONFIG_OF_TWO.pointed_at("front") == (slice(0, 3), slice(4, 7), slice(7, 10))
    assert CONFIG_OF_TWO.pointed_at("wrist_right") == (slice(0, 3),)
    assert [vote.position.shape[2] for _, vote in see(policy, scenes).votes["front"]] == [3, 3, 3]


def test_features_hold_only_what_the_task_has_and_end_with_the_task():
    policy, scenes = a_generalist(), scenes_of_both(3)
    features = torch.from_numpy(policy.encode(scenes.images, scenes.instructions.tolist(), scenes.state))
    assert features.shape == (6, CONFIG_OF_TWO.feature_dim)
    assert policy.task_of(features).tolist() == [0, 0, 0, 1, 1, 1]
    coarse, fine = features[:, :10], features[:, 10:20]
    for part in (coarse, fine):
        assert (part[:3, 4:] == 0).all()
        assert (part[3:, :4] == 0).all()
        assert (part[:3, :4] != 0).any()
        assert (part[3:, 4:] != 0).any()


def test_a_generalist_comes_back_from_its_file_as_it_was(tmp_path):
    policy = a_generalist()
    generator = torch.Generator().manual_seed(0)
    count, chunk = 20, CONFIG.network.chunk_steps
    commanded = torch.randn(count, CONFIG.action_dim, generator=generator)
    policy.normaliser.fit(
        torch.randn(count, CONFIG.state_dim, generator=generator),
        commanded,
        commanded[:, None] + torch.randn(count, chunk, CONFIG.action_dim, generator=generator),
        torch.ones(count, chunk, dtype=torch.bool),
        torch.arange(count) % 2,
    )
    save_checkpoint(policy, tmp_path / "p.safetensors", storage="float32")
    loaded = load_checkpoint(tmp_path / "p.safetensors").policy
    assert loaded.config == policy.config
    rng = np.random.default_rng(0)
    for instruction in (INSTRUCTION, FOLD):
        observation = replace(an_observation(), instruction=instruction)
        np.testing.assert_array_equal(loaded.act(observation, rng), policy.act(observation, rng))


def test_a_policy_of_one_task_says_nothing_of_tasks_in_its_file():
    assert "tasks" not in CONFIG.save()
    assert CONFIG.load(CONFIG.save()) == CONFIG
    assert CONFIG_OF_TWO.load(CONFIG_OF_TWO.save()) == CONFIG_OF_TWO

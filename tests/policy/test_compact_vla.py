"""The compact VLA acts the same everywhere, learns, and says clearly what it cannot read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_policy import CAMERAS, INSTRUCTION, a_batch, a_pixel_batch, a_policy, an_observation

from sop_bench.errors import ConfigurationError, ContractError
from sop_bench.policy.base import PolicyVersion
from sop_bench.policy.observed import check_fits
from sop_bench.policy.optimisation import OptimiserConfig, WeightAverage, adamw, descend

RNG = np.random.default_rng(0)


def test_acts_the_same_whatever_was_asked_before():
    policy, fresh = a_policy(), a_policy()
    for seed in range(5):
        policy.act(an_observation(seed), RNG)
    np.testing.assert_array_equal(policy.act(an_observation(7), RNG), fresh.act(an_observation(7), RNG))


def test_images_that_may_not_be_written_or_stand_on_their_head_in_memory_are_read_all_the_same():
    policy, observation = a_policy(), an_observation()
    images = {name: np.ascontiguousarray(image[::-1])[::-1] for name, image in observation.images.items()}
    for image in images.values():
        image.setflags(write=False)
    odd = replace(observation, images=images)
    np.testing.assert_array_equal(policy.act(odd, RNG), policy.act(observation, RNG))


def test_acts_the_same_whatever_the_number_of_threads():
    policy, threads = a_policy(), torch.get_num_threads()
    first = policy.act(an_observation(), RNG)
    torch.set_num_threads(2)
    try:
        np.testing.assert_array_equal(policy.act(an_observation(), RNG), first)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_does_not_touch_the_global_generator():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    a_policy().act(an_observation(), RNG)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_chunk_is_finite_and_its_grippers_are_open_or_closed():
    policy = a_policy()
    chunk_rad = policy.act(an_observation(), RNG)
    assert chunk_rad.shape == (policy.chunk_steps, 3)
    assert np.isfinite(chunk_rad).all()
    assert set(np.unique(chunk_rad[:, 2])) <= {np.float32(-0.25), np.float32(0.75)}


def test_encoding_many_frames_agrees_with_encoding_one():
    policy = a_policy()
    observations = [an_observation(seed) for seed in range(3)]
    images = {n: np.stack([o.images[n] for o in observations]) for n in policy.cameras}
    state = np.stack([o.proprioception for o in observations])
    together = policy.encode(images, [INSTRUCTION] * 3, state)
    assert together.shape == (3, policy.config.feature_dim)
    alone = policy.encode({n: i[1:2] for n, i in images.items()}, [INSTRUCTION], state[1:2])
    np.testing.assert_allclose(together[1:2], alone, atol=1e-5)


@pytest.mark.parametrize("mode", ["head", "all"])
def test_learns_a_batch(mode):
    policy, generator = a_policy(), torch.Generator().manual_seed(0)
    parameters = policy.trainable_parameters(mode)
    optimiser = adamw(parameters, OptimiserConfig())
    losses = []
    for _ in range(60):
        sample = policy.loss(a_batch(), generator)
        if mode == "all":
            sample = policy.loss_from_pixels(a_pixel_batch(policy), generator)
        assert sample.shape == (8,)
        descend(sample.mean(), optimiser, parameters, learning_rate=3e-3, clip_norm=1.0)
        losses.append(sample.mean().item())
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_training_the_head_leaves_the_encoder_alone():
    policy = a_policy()
    assert {id(p) for p in policy.trainable_parameters("head")} == {id(p) for p in policy.head.parameters()}
    policy.loss_from_pixels(a_pixel_batch(policy), torch.Generator().manual_seed(0)).mean().backward()
    assert all(parameter.grad is None for parameter in policy.encoder.parameters())


def test_training_everything_gives_a_gradient_to_all_that_it_trains_and_to_nothing_else():
    policy = a_policy()
    trained = {id(parameter) for parameter in policy.trainable_parameters("all")}
    policy.loss_from_pixels(a_pixel_batch(policy), torch.Generator().manual_seed(0)).mean().backward()
    assert {id(p) for p in policy.parameters() if p.grad is not None} == trained
    assert not trained & {id(p) for p in policy.encoder.only_pretrained().values()}


def test_the_first_layers_of_a_camera_run_without_a_graph_when_everything_is_trained():
    policy = a_policy()
    policy.trainable_parameters("all")
    made: dict[str, torch.Tensor] = {}
    for name, camera in policy.encoder.cameras.items():
        camera.reduce.register_forward_hook(lambda _, __, out, name=name: made.update({name: out}))
    policy.loss_from_pixels(a_pixel_batch(policy), torch.Generator().manual_seed(0))
    assert made.keys() == {*policy.cameras}
    assert all(out.grad_fn is None for out in made.values())


def test_an_update_of_everything_leaves_out_what_only_pretraining_changes():
    policy = a_policy()
    policy.trainable_parameters("all")
    missing = policy.state_dict().keys() - policy.state_for_update("all").keys()
    assert missing == {f"encoder.{name}" for name in policy.encoder.only_pretrained()}
    assert {"encoder.cameras.front.patches.weight", "encoder.cameras.front.pointer.base"} <= missing


def test_steps_that_are_masked_do_not_count():
    policy, batch = a_policy(), a_batch()
    valid = torch.ones_like(batch.valid)
    valid[:, 3:] = False
    spoilt = batch.chunk_rad.clone()
    spoilt[:, 3:] += 0.5
    losses = [
        policy.loss(replace(batch, valid=valid, chunk_rad=chunk), torch.Generator().manual_seed(0))
        for chunk in (batch.chunk_rad, spoilt)
    ]
    # The network sees the masked steps as noisy input; an untrained one ignores its input.
    torch.testing.assert_close(losses[0], losses[1])


def test_an_update_carries_only_the_head():
    learner, actor = a_policy(seed=0), a_policy(seed=0)
    with torch.no_grad():
        for parameter in learner.head.parameters():
            parameter.add_(0.1)
    update = learner.state_for_update()
    assert all(name.startswith("head.") for name in update)
    actor.load_update(update, PolicyVersion(1, "one"))
    np.testing.assert_array_equal(actor.act(an_observation(), RNG), learner.act(an_observation(), RNG))
    assert actor.version == PolicyVersion(1, "one")


def test_an_update_of_another_shape_is_refused_whole():
    policy = a_policy()
    before = policy.act(an_observation(), RNG)
    update = policy.state_for_update()
    update["head.out.bias"] = torch.zeros(1)
    with pytest.raises(ContractError, match=r"does not fit this policy.*head\.out\.bias"):
        policy.load_update(update, PolicyVersion(1, "one"))
    np.testing.assert_array_equal(policy.act(an_observation(), RNG), before)


def test_a_changed_encoder_forgets_remembered_language():
    policy = a_policy()
    policy.act(an_observation(), RNG)
    changed = policy.state_for_update("all")
    bias = changed["encoder.language.mix.bias"]
    changed["encoder.language.mix.bias"] = bias + torch.linspace(-1, 1, len(bias))
    policy.load_update(changed, PolicyVersion(1, "one"))
    fresh = a_policy()
    fresh.load_update(changed, PolicyVersion(1, "one"))
    np.testing.assert_array_equal(policy.act(an_observation(), RNG), fresh.act(an_observation(), RNG))


def test_a_camera_of_another_size_is_named():
    wrong = np.zeros((8, 8, 3), np.uint8)
    observation = replace(an_observation(), images={**an_observation().images, "front": wrong})
    with pytest.raises(ContractError, match=r"Image 'front' is uint8 of shape \(8, 8, 3\).*\(16, 24, 3\)"):
        a_policy().act(observation, RNG)


def test_a_missing_camera_is_named():
    observation = replace(an_observation(), images={"front": an_observation().images["front"]})
    with pytest.raises(ContractError, match="no 'wrist_right' image, only front"):
        a_policy().act(observation, RNG)


def test_proprioception_of_another_length_is_named():
    observation = replace(an_observation(), proprioception=np.zeros(5, np.float32))
    with pytest.raises(ContractError, match=r"proprioception has shape \(5,\); allowed: \(4,\)"):
        a_policy().act(observation, RNG)


def test_an_unknown_word_is_named_with_the_closest():
    with pytest.raises(ConfigurationError, match=r"Unknown word 'gren'\. Did you mean 'green'"):
        a_policy().act(replace(an_observation(), instruction="put the gren box left"), RNG)


def test_a_robot_with_other_joints_or_cameras_is_refused_before_it_moves():
    config = a_policy().config
    check_fits(config, CAMERAS, config.joint_names)
    with pytest.raises(ConfigurationError, match="does not fit this robot"):
        check_fits(config, CAMERAS[:1], config.joint_names)
    with pytest.raises(ConfigurationError, match="does not fit this robot"):
        check_fits(config, CAMERAS, ("other", *config.joint_names[1:]))


def test_averaged_weights_follow_slowly():
    average = WeightAverage({"w": torch.zeros(2)}, decay=0.9)
    average.update({"w": torch.ones(2)})
    torch.testing.assert_close(average.weights()["w"], torch.full((2,), 0.1))


def test_an_average_that_forgets_its_start_follows_quickly_and_is_calm_later():
    average = WeightAverage({"w": torch.zeros(1)}, decay=0.99, forgets_start=True)
    average.update({"w": torch.ones(1)}, updates=0)
    assert average.weights()["w"].item() == pytest.approx(0.9)
    average.update({"w": torch.zeros(1)}, updates=10_000)
    assert average.weights()["w"].item() == pytest.approx(0.9 * 0.99)

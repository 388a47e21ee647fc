"""Scenes on disk, and an encoder that learns to read their labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_policy import CAMERAS, CONFIG, INSTRUCTION, a_policy

from sop_bench.errors import ConfigurationError, ContractError, CorruptDataError
from sop_bench.policy.localisation import localisation
from sop_bench.policy.perception import PerceptionConfig, train_perception
from sop_bench.policy.scene_files import cached_scenes, load_scenes, save_scenes
from sop_bench.policy.scenes import SceneRequest, Scenes


def spots(count: int) -> Scenes:
    """A bright spot on a dark image; the label says where it is, in metres."""
    rng = np.random.default_rng(0)
    place = rng.uniform(0.15, 0.85, (count, 2))
    images = {}
    for camera in CAMERAS:
        image = rng.integers(0, 40, (count, camera.height, camera.width, 3), dtype=np.uint8)
        rows = (place[:, 0] * camera.height).astype(int)
        columns = (place[:, 1] * camera.width).astype(int)
        for i in range(count):
            image[i, rows[i] - 1 : rows[i] + 2, columns[i] - 1 : columns[i] + 2] = 250
        images[camera.name] = image
    target = np.column_stack([place, np.zeros(count)]).astype(np.float32)
    return Scenes(
        images=images,
        instructions=np.array([INSTRUCTION] * count),
        state=rng.normal(size=(count, CONFIG.state_dim)).astype(np.float32),
        labels={"target": target, "held": np.zeros((count, 1), np.float32)},
    )


def test_the_encoder_learns_where_a_spot_is():
    policy, scenes, losses = a_policy(), spots(256), []
    config = PerceptionConfig(steps=150, batch_size=32)
    before = localisation(policy, scenes, "target").p50_mm
    train_perception(
        policy, scenes, config, torch.Generator().manual_seed(0), lambda step, loss: losses.append(loss)
    )
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])
    assert localisation(policy, scenes, "target").p50_mm < 0.5 * before
    assert not any(parameter.requires_grad for parameter in policy.encoder.parameters())


def test_pretraining_moves_every_weight_of_the_encoder_even_after_post_training():
    policy = a_policy()
    policy.trainable_parameters("all")
    before = {name: value.detach().clone() for name, value in policy.encoder.named_parameters()}
    train_perception(policy, spots(32), PerceptionConfig(steps=2), torch.Generator().manual_seed(0))
    same = [n for n, value in policy.encoder.named_parameters() if torch.equal(value, before[n])]
    assert same == []


def test_scenes_with_other_labels_are_refused():
    scenes = replace(spots(4), labels={"other": np.zeros((4, 3), np.float32)})
    with pytest.raises(ContractError, match=r"labelled with \{'other': 3\}"):
        train_perception(a_policy(), scenes, PerceptionConfig(steps=1), torch.Generator().manual_seed(0))


def test_scenes_come_back_as_they_were_saved(tmp_path):
    scenes = spots(5)
    save_scenes(scenes, tmp_path / "shard.npz")
    loaded = load_scenes(tmp_path / "shard.npz")
    np.testing.assert_array_equal(loaded.images["front"], scenes.images["front"])
    np.testing.assert_array_equal(loaded.labels["target"], scenes.labels["target"])
    assert loaded.instructions.tolist() == scenes.instructions.tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["shard.npz"]


def test_a_damaged_shard_is_called_damaged(tmp_path):
    save_scenes(spots(2), tmp_path / "shard.npz")
    data = (tmp_path / "shard.npz").read_bytes()
    (tmp_path / "shard.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(CorruptDataError, match="not a readable shard of scenes"):
        load_scenes(tmp_path / "shard.npz")


@pytest.mark.parametrize("kind", ["still", "moment", "first"])
def test_a_shard_depends_on_its_request_alone(kind, tmp_path):
    pytest.importorskip("sop_envs")
    request = SceneRequest("so101", 1, "restock/flat-shelf", "train", kind, ("front",), seed=3, count=3)
    paths = [cached_scenes(request, tmp_path / name) for name in ("first", "second")]
    first, second = map(load_scenes, paths)
    np.testing.assert_array_equal(first.images["front"], second.images["front"])
    np.testing.assert_array_equal(first.state, second.state)
    other = load_scenes(cached_scenes(replace(request, seed=4), tmp_path))
    assert not np.array_equal(first.images["front"], other.images["front"])


def test_pointing_at_an_unknown_label_is_refused():
    spec_like = replace(CONFIG, pointing=(("front", "nowhere"),))
    with pytest.raises(ConfigurationError, match="Unknown label 'nowhere'"):
        spec_like.label_slice("nowhere")

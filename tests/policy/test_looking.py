"""A generalist looks with the cameras and for the labels of its task, and with nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_policy import CONFIG
from test_several_tasks import CONFIG_OF_TWO, a_generalist, scenes_of_both, see

from sop_bench.errors import ConfigurationError
from sop_bench.policy.camera_encoder import aims_of
from sop_bench.policy.scenes import Scenes
from sop_bench.policy.vla import CompactVLA
from sop_bench.robot import Observation

PUT, FOLD_IT = 0, 1


def scenes_of_one(task: int, count: int) -> Scenes:
    both, own = scenes_of_both(count), slice(task * count, (task + 1) * count)
    return Scenes(
        {name: images[own] for name, images in both.images.items()},
        both.instructions[own],
        both.state[own],
        {name: values[own] for name, values in both.labels.items()},
    )


def features(policy: CompactVLA, scenes: Scenes) -> np.ndarray:
    return policy.encode(scenes.images, scenes.instructions.tolist(), scenes.state)


def test_aims_are_what_the_same_tasks_have():
    front, wrist = aims_of(CONFIG_OF_TWO, "front"), aims_of(CONFIG_OF_TWO, "wrist_right")
    assert [(aim.tasks, aim.pointers) for aim in front] == [({PUT}, (0,)), ({FOLD_IT}, (1, 2))]
    assert [(aim.tasks, aim.pointers) for aim in wrist] == [({PUT}, (0,))]


def test_a_camera_that_points_at_nothing_of_a_task_is_not_looked_at():
    policy, scenes = a_generalist(), scenes_of_both(4)
    other = dict(scenes.images) | {"wrist_right": 255 - scenes.images["wrist_right"]}
    seen, changed = features(policy, scenes), features(policy, replace(scenes, images=other))
    np.testing.assert_array_equal(seen[4:], changed[4:])  # folding looks with the front camera alone
    assert (seen[:4] != changed[:4]).any(axis=1).all()


class Unlit(dict[str, np.ndarray]):
    """Images of which one must not be rendered."""

    def __getitem__(self, name: str) -> np.ndarray:
        assert name != "wrist_right", "nobody looks with it"
        return super().__getitem__(name)


@pytest.mark.parametrize("task", [PUT, FOLD_IT])
def test_a_picture_that_nobody_looks_at_is_not_rendered(task: int):
    scenes, rng = scenes_of_one(task, 1), np.random.default_rng(0)
    images = {name: images[0] for name, images in scenes.images.items()}
    rest = scenes.state[0], np.zeros(CONFIG_OF_TWO.action_dim, np.float32), str(scenes.instructions[0])
    lit = a_generalist().act(Observation(images, *rest), rng)
    if task == FOLD_IT:
        np.testing.assert_array_equal(a_generalist().act(Observation(Unlit(images), *rest), rng), lit)
    else:
        with pytest.raises(AssertionError, match="nobody looks"):
            a_generalist().act(Observation(Unlit(images), *rest), rng)


def test_a_task_that_points_at_nothing_looks_with_every_camera():
    blind = replace(CONFIG_OF_TWO, pointing=(("front", "target"),))
    assert blind.looks_with("front") == {PUT, FOLD_IT}
    assert blind.looks_with("wrist_right") == {FOLD_IT}
    assert CONFIG.looks_with("front") is None


def test_pointers_of_another_task_are_not_asked():
    sight = see(a_generalist(), scenes_of_both(4))
    rows = [vote and vote[0].take(torch.arange(8)).tolist() for vote in sight.votes["front"]]
    assert rows == [[0, 1, 2, 3], [4, 5, 6, 7], [4, 5, 6, 7]]
    only_folding = see(a_generalist(), scenes_of_one(FOLD_IT, 4))
    assert [vote is None for vote in only_folding.votes["front"]] == [True, False, False]
    assert only_folding.votes["wrist_right"] == [None]


def test_a_scene_looks_the_same_whatever_stands_beside_it_in_the_batch():
    policy, scenes = a_generalist(), scenes_of_both(3)
    together = features(policy, scenes)
    for row in range(6):
        alone = replace(
            scenes,
            images={name: images[row : row + 1] for name, images in scenes.images.items()},
            instructions=scenes.instructions[row : row + 1],
            state=scenes.state[row : row + 1],
        )
        np.testing.assert_allclose(features(policy, alone)[0], together[row], atol=1e-5)


def test_a_generalist_that_looked_for_everything_is_refused():
    data = CONFIG_OF_TWO.save()
    del data["looks_at"]
    with pytest.raises(ConfigurationError, match=r"labels of all tasks in every image; allowed.*Pretrain it"):
        CONFIG_OF_TWO.load(data)

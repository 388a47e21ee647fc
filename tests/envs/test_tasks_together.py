"""What the tasks of the bench owe each other, so that one policy can do them all."""

from __future__ import annotations

import pytest
from sop_envs.simulated import SimulatedSo101

from sop_bench.policy.config import TaskConfig
from sop_bench.policy.recogniser import Recogniser
from sop_bench.policy.tokenizer import Tokenizer, split_words
from sop_bench.robot import make_robot
from sop_bench.studies.recipe import POINTING

SCENES = 60


@pytest.fixture(scope="module")
def robot():
    with make_robot("so101", station_seed=1) as made:
        assert isinstance(made, SimulatedSo101)
        yield made


def test_labels_of_one_name_have_one_length(robot: SimulatedSo101):
    lengths: dict[str, dict[int, str]] = {}
    for task in robot.spec.tasks:
        robot.reset(task, 0)
        for name, values in robot.labels().items():
            lengths.setdefault(name, {})[len(values)] = task
    assert {name: found for name, found in lengths.items() if len(found) > 1} == {}


def test_every_task_has_something_to_point_at(robot: SimulatedSo101):
    for task in robot.spec.tasks:
        robot.reset(task, 0)
        assert any(camera == "front" and label in robot.labels() for camera, label in POINTING), task


def test_a_task_is_known_by_its_words(robot: SimulatedSo101):
    said = {
        task: [robot.reset(task, seed).instruction for seed in range(SCENES)] for task in robot.spec.tasks
    }
    tasks = [
        TaskConfig(task, tuple({word for text in texts for word in split_words(text)}), ())
        for task, texts in said.items()
    ]
    tokenizer = Tokenizer.build([text for texts in said.values() for text in texts], max_words=12)
    Recogniser(tasks, tokenizer).check(said, tokenizer)

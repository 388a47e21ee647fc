"""The learner: it learns, resumes to the same bits, survives bad files, and never publishes nonsense."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import TASKS, ReachWorld, demonstrate
from safetensors.torch import load_file

from sop_bench.errors import ConfigurationError, CorruptDataError
from sop_bench.fleet.jobs import EvaluationJob, Scene, evaluate_job
from sop_bench.fleet.warm import policy_for
from sop_bench.learner.learner import Learner
from sop_bench.learner.optimiser import DivergedError, LearnerConfig
from sop_bench.learner.sampler import OFFLINE, ONLINE
from sop_bench.posttrain.behaviour_cloning import BehaviourCloning

CONFIG = LearnerConfig(batch_size=32, learning_rate=2e-3)


def learner(world: ReachWorld, config: LearnerConfig = CONFIG, online: int = 0) -> Learner:
    made = Learner(world.checkpoint, TASKS, BehaviourCloning(), config)
    files = sorted(world.demos.iterdir())
    for index, path in enumerate(files):
        made.ingest(path, source=ONLINE if index < online else OFFLINE)
    return made


def test_training_lowers_the_loss_and_raises_success(world: ReachWorld, tmp_path: Path):
    made = learner(world)
    first = made.train(5).loss
    made.train(300)
    assert made.train(5).loss < first
    made.publish(tmp_path / "update", 1)

    def success(update: Path | None) -> float:
        scenes = tuple(Scene(0, seed) for seed in range(30))
        job = EvaluationJob("reach", world.checkpoint, update, TASKS[0], scenes)
        return float(np.mean([summary.header.success for summary in evaluate_job(job).episodes]))

    assert success(tmp_path / "update") > success(None)


@pytest.mark.parametrize("mode", ["head", "all"])
def test_a_loaded_learner_goes_on_with_the_same_bits(world: ReachWorld, tmp_path: Path, mode: str):
    config = replace(CONFIG, mode=mode)  # pyright: ignore[reportArgumentType]
    steps = 20 if mode == "head" else 4
    straight, first, second = learner(world, config, 2), learner(world, config, 2), Learner(
        world.checkpoint, TASKS, BehaviourCloning(), config
    )  # fmt: skip
    straight.train(steps)
    expected = straight.train(steps)
    first.train(steps)
    first.save(tmp_path / "state")
    second.load(tmp_path / "state")
    assert repr(second.train(steps)) == repr(expected)  # as text, because NaN differs from itself
    assert second.publish(tmp_path / "b", 1) == straight.publish(tmp_path / "a", 1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_was_trained_does_not_depend_on_torchs_threads(world: ReachWorld):
    reports = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            reports.append(repr(learner(world).train(3)))
        finally:
            torch.set_num_threads(1)
    assert reports[0] == reports[1]


def test_a_published_update_is_the_average_and_acts(world: ReachWorld, tmp_path: Path):
    made = learner(world)
    made.train(10)
    version = made.publish(tmp_path / "update", 3)
    policy = policy_for(world.checkpoint, tmp_path / "update")
    assert policy.version == version
    assert version.number == 3
    for name, tensor in load_file(tmp_path / "update").items():
        assert name.startswith("head.")
        torch.testing.assert_close(tensor.float(), made.weights()[name], atol=1e-3, rtol=1e-3)


def test_a_corrupt_episode_is_left_out_and_nothing_else_is_lost(world: ReachWorld, tmp_path: Path):
    made = learner(world)
    before = made.replay.counts
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(sorted(world.demos.iterdir())[0].read_bytes()[:500])
    with pytest.warns(RuntimeWarning, match="left out"):
        assert "not a readable episode" in made.ingest(broken, source=ONLINE).problem
    np.testing.assert_array_equal(made.replay.counts, before)
    whole = demonstrate(tmp_path / "whole.parquet", TASKS[0], 77)
    assert made.ingest(whole, source=ONLINE).frames > 0
    made.train(1)


def test_an_episode_without_pixels_is_left_out_too(world: ReachWorld, tmp_path: Path):
    from sop_bench.episode import load_episode, save_episode

    bare = replace(load_episode(sorted(world.demos.iterdir())[0]), images_png={})
    save_episode(replace(bare, header=replace(bare.header, episode_id="bare")), tmp_path / "bare.parquet")
    with pytest.warns(RuntimeWarning, match="lacks the columns"):
        assert learner(world).ingest(tmp_path / "bare.parquet", source=ONLINE).problem


def test_ingesting_twice_changes_nothing(world: ReachWorld):
    made = learner(world)
    before = made.replay.counts
    for path in sorted(world.demos.iterdir()):
        made.ingest(path, source=ONLINE)
    np.testing.assert_array_equal(made.replay.counts, before)


def test_times_of_an_episode_are_kept(world: ReachWorld):
    made = Learner(world.checkpoint, TASKS, BehaviourCloning(), CONFIG)
    made.ingest(sorted(world.demos.iterdir())[0], source=ONLINE, uploaded_s=3.0, ingested_s=5.0)
    record = made.replay.records[0]
    assert (record.uploaded_s, record.ingested_s) == (3.0, 5.0)
    assert made.train(2).first_sampled == {record.episode_id: 1}
    assert made.train(2).first_sampled == {}
    assert made.replay.first_sampled() == {record.episode_id: 1}


def test_a_loss_that_is_not_finite_stops_before_anything_changes(world: ReachWorld):
    made = learner(world)
    made.train(2)
    before = made.weights()
    made.replay._table._state._blocks[0][:] = np.nan
    with pytest.raises(DivergedError, match=r"learner step 2 the loss is nan.*Lower the learning rate"):
        made.train(1)
    for name, value in made.weights().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_nothing_to_train_on_and_strange_tasks_are_explained(world: ReachWorld):
    empty = Learner(world.checkpoint, ["reach/near"], config=CONFIG)
    with pytest.raises(ConfigurationError, match="nothing to train on for reach/near"):
        empty.train(1)
    with pytest.raises(ConfigurationError, match="Unknown task 'reach/far'"):
        empty.ingest(sorted(world.demos.iterdir())[1], source=OFFLINE)


def test_a_damaged_or_foreign_state_is_refused(world: ReachWorld, tmp_path: Path):
    made = learner(world)
    made.train(1)
    made.save(tmp_path / "state")
    shutil.copytree(tmp_path / "state", tmp_path / "damaged")
    (tmp_path / "damaged" / "replay.safetensors").write_bytes(b"no")
    for directory in (tmp_path / "damaged", tmp_path / "absent"):
        with pytest.raises(CorruptDataError, match="not a state of this learner"):
            Learner(world.checkpoint, TASKS, BehaviourCloning(), CONFIG).load(directory)

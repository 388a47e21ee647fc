"""An evaluation owns every scene once, helps nobody, and can be watched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import ReachWorld
from PIL import Image

from sop_bench.errors import ConfigurationError, CorruptDataError
from sop_bench.fleet.engine import InlineEngine
from sop_bench.studies.evaluation import EvaluationConfig, EvaluationReport, evaluate, film_evaluation


@pytest.fixture
def config(world: ReachWorld) -> EvaluationConfig:
    return EvaluationConfig(
        world.checkpoint, robot="reach", task="reach/near", episodes=12, station_seeds=(0, 1)
    )


def run(config: EvaluationConfig) -> EvaluationReport:
    with InlineEngine() as engine:
        return evaluate(config, engine)


def test_every_episode_is_a_scene_of_its_own(config: EvaluationConfig) -> None:
    rows = run(config).rows
    assert rows["seed"].is_unique
    assert list(rows["station_seed"].unique()) == [0, 1]


def test_the_same_evaluation_gives_the_same_rows(config: EvaluationConfig) -> None:
    assert run(config).rows.equals(run(config).rows)


def test_the_interval_contains_the_rate_and_throughputs_agree_with_the_rows(config: EvaluationConfig) -> None:
    report = run(config)
    assert report.success.low <= report.success.mean <= report.success.high
    assert report.success.mean == pytest.approx(report.successes / 12)
    assert report.successes_per_hour == pytest.approx(report.terminated_per_hour * report.success.mean)
    assert sum(report.reasons().values()) == 12


def test_shuffled_instructions_are_those_of_other_scenes(config: EvaluationConfig) -> None:
    rows = run(replace(config, shuffle_instructions=True)).rows
    assert sorted(rows["given_instruction"]) == sorted(rows["instruction"])
    plain = run(config).rows
    assert (plain["given_instruction"] == plain["instruction"]).all()


def test_progress_is_told_after_some_episodes(config: EvaluationConfig) -> None:
    told: list[tuple[int, int]] = []
    many = replace(config, episodes=45)
    with InlineEngine() as engine:
        report = evaluate(many, engine, lambda done, successes: told.append((done, successes)))
    assert [done for done, _ in told] == [20, 40, 45]
    assert told[-1][1] == report.successes


def test_an_unknown_task_a_missing_and_a_broken_checkpoint_are_refused(
    config: EvaluationConfig, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="reach/near"):
        run(replace(config, task="reach/nera"))
    with pytest.raises(ConfigurationError, match=r"nowhere\.safetensors"):
        run(replace(config, checkpoint=tmp_path / "nowhere.safetensors"))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(config.checkpoint.read_bytes()[:-100])
    with pytest.raises(CorruptDataError, match=r"broken\.safetensors"):
        run(replace(config, checkpoint=broken))


def test_films_show_every_chosen_episode(config: EvaluationConfig, tmp_path: Path) -> None:
    sheet, moving = film_evaluation(config, tmp_path, indices=(0, 1, 2))
    with Image.open(sheet) as image:
        assert image.height == 3 * (180 + 18)
        assert np.asarray(image).std() > 1
    with Image.open(moving) as image:
        assert getattr(image, "n_frames", 1) > 3

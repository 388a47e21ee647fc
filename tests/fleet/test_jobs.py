"""Jobs are pure functions of plain data, and what a process keeps between them is only a cache."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import OPERATOR, TASKS, ReachWorld

from sop_bench.episode import load_episode
from sop_bench.errors import ConfigurationError
from sop_bench.fleet.jobs import (
    EpisodeJob,
    EpisodeSummary,
    EvaluationJob,
    EvaluationSummary,
    Scene,
    evaluate_job,
    run_episode_job,
)
from sop_bench.fleet.warm import Kept, policy_for, robot_for
from sop_bench.posttrain.hg_dagger import HGDagger
from sop_bench.robot import Outcome
from sop_bench.rollout import EpisodeRequest


@pytest.fixture
def job(world: ReachWorld, tmp_path: Path) -> EpisodeJob:
    request = EpisodeRequest(TASKS[1], 3, pixels="all", episode_id="e3")
    eager = replace(OPERATOR, late_s=3.5)  # takes over half a second after the start
    return EpisodeJob(
        "reach", 0, world.checkpoint, None, request, supervisor=eager, output=tmp_path / "e3.parquet"
    )


def without_wall(summary: EpisodeSummary) -> EpisodeSummary:
    return replace(summary, wall_s=0.0)


def test_a_job_repeats_and_its_summary_survives_json(job: EpisodeJob):
    first, second = run_episode_job(job), run_episode_job(job)
    assert without_wall(first) == without_wall(second)
    assert EpisodeSummary.from_json(json.loads(json.dumps(first.to_json()))) == first


def test_the_summary_agrees_with_the_file(job: EpisodeJob):
    summary = run_episode_job(job)
    assert summary.path is not None
    episode = load_episode(summary.path, cameras=["front"])
    assert summary.header == episode.header
    assert summary.steps == len(episode.frames)
    assert 0 < summary.helped_steps == (episode.frames.source != 0).sum()
    assert summary.duration_s == episode.duration_s
    assert all(episode.images_png["front"])


def test_pixels_may_be_kept_only_where_they_are_trained_on(job: EpisodeJob):
    algorithm = HGDagger()
    summary = run_episode_job(replace(job, pixels_for=algorithm))
    assert summary.path is not None
    episode = load_episode(summary.path, cameras=["front"])
    kept = [step for step, png in enumerate(episode.images_png["front"]) if png]
    assert kept == algorithm.select(episode).steps.tolist()
    assert 0 < len(kept) < len(episode.frames)


def test_a_fault_is_a_failure_without_steps_and_the_next_robot_is_new(job: EpisodeJob):
    broken = replace(job, station_seed=666)
    robot = robot_for("reach", 666)
    summary = run_episode_job(broken)
    assert (summary.steps, summary.path) == (0, None)
    assert summary.header.outcome is Outcome.FAILURE
    assert summary.header.reason == "robot fault: the elbow fell off"
    assert robot_for("reach", 666) is not robot


def test_an_evaluation_is_its_episodes_alone(world: ReachWorld):
    scenes = tuple(Scene(station_seed, seed) for seed in (5, 6, 7) for station_seed in (0, 3))
    job = EvaluationJob("reach", world.checkpoint, None, TASKS[0], scenes)
    whole = evaluate_job(job)
    assert [e.header.seed for e in whole.episodes] == [scene.seed for scene in scenes]
    parts = [evaluate_job(replace(job, scenes=(scene,))).episodes[0] for scene in scenes]
    assert [without_wall(e) for e in whole.episodes] == [without_wall(e) for e in parts]
    assert all(e.header.split == "test" and not e.header.takeovers for e in whole.episodes)
    assert EvaluationSummary.from_json(json.loads(json.dumps(whole.to_json()))) == whole


def test_a_fault_in_an_evaluation_fails_its_episode_alone(world: ReachWorld):
    scenes = (Scene(0, 5), Scene(666, 5), Scene(0, 6), Scene(666, 6))
    job = EvaluationJob("reach", world.checkpoint, None, TASKS[0], scenes)
    robot = robot_for("reach", 666)
    episodes = evaluate_job(job).episodes
    assert [e.header.reason == "robot fault: the elbow fell off" for e in episodes] == [False, True] * 2
    assert [e.steps == 0 for e in episodes] == [False, True] * 2
    assert robot_for("reach", 666) is not robot


def test_a_policy_file_written_again_is_read_again(world: ReachWorld, tmp_path: Path):
    path = tmp_path / "policy.safetensors"
    path.write_bytes(world.checkpoint.read_bytes())
    first = policy_for(path)
    assert policy_for(path) is first
    path.unlink()
    path.write_bytes(world.checkpoint.read_bytes())
    assert policy_for(path) is not first


def test_unknown_robots_and_missing_files_are_named(world: ReachWorld, tmp_path: Path):
    with pytest.raises(ConfigurationError, match="Did you mean 'reach'"):
        robot_for("reech", 0)
    with pytest.raises(ConfigurationError, match="Cannot read"):
        policy_for(tmp_path / "none")


def test_the_least_recently_used_is_let_go():
    gone: list[str] = []
    kept: Kept[str] = Kept(2, gone.append)
    for key in "abac":
        kept.get(key, lambda key=key: key)
    assert gone == ["b"]
    kept.discard("a")
    kept.discard("a")
    assert gone == ["b", "a"]

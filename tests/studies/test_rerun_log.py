"""Rerun recordings hold the whole episode; skipped without the extra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import ReachRobot

from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.studies.actors import ExpertPolicy
from sop_bench.studies.film import FilmedRobot
from sop_bench.studies.rerun_log import TIMELINE, record

pytest.importorskip("rerun")


def test_a_recording_holds_images_joints_and_outcome_on_a_timeline_in_seconds(tmp_path: Path):
    from rerun.chunk import RrdReader

    robot = FilmedRobot(ReachRobot(0), every=1)
    request = EpisodeRequest("reach/far", 3, pixels="all", cameras=("front",))
    episode = run_episode(robot, ExpertPolicy(robot), request)
    path = record(episode, robot.spec, tmp_path / "new" / "episode.rrd", robot.pictures)

    rows: dict[str, int] = {}
    tables = {}
    for chunk in RrdReader(path).stream().to_chunks():
        rows[chunk.entity_path] = rows.get(chunk.entity_path, 0) + chunk.num_rows
        tables[chunk.entity_path] = chunk.to_record_batch()
    steps = len(episode.frames)
    assert {entity: rows[entity] for entity in ("/images/front", "/viewer", "/instruction", "/outcome")} == {
        "/images/front": steps,
        "/viewer": steps + 1,
        "/instruction": 1,
        "/outcome": 1,
    }
    executed = tables["/action/elbow/executed_rad"]
    values = np.array(executed.column("Scalars:scalars").to_pylist())[:, 0]
    np.testing.assert_allclose(values, episode.frames.executed_rad[:, 1], atol=1e-6)
    seconds = np.array([time / np.timedelta64(1, "s") for time in executed.column(TIMELINE).to_numpy()])
    np.testing.assert_allclose(seconds, np.arange(steps) / 10)
    assert {"/state/shoulder", "/action/shoulder/requested_rad"} <= set(rows)
    assert "reached" in str(tables["/outcome"].to_pydict())

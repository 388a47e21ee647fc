"""Collections of demonstrations can be interrupted, extended and repeated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sop_bench.episode import Frames, load_episode
from sop_bench.errors import ConfigurationError
from sop_bench.fleet.engine import InlineEngine, ProcessEngine
from sop_bench.studies.demos import DemonstrationConfig, collect_demonstrations, demonstration_files
from sop_bench.supervision.demonstrator import DemonstratorConfig

SMALL = DemonstrationConfig(
    station_seeds=(0,),
    robot_hours=14.0 / 3600,
    cameras=("wrist_right",),
    demonstrator=DemonstratorConfig(0.004),
)


def collect(directory: Path, config: DemonstrationConfig = SMALL) -> list[Path]:
    with InlineEngine() as engine:
        collect_demonstrations(config, directory, engine, lookahead=1)
    return demonstration_files(directory)


def test_it_stops_when_there_are_enough_hours(tmp_path: Path) -> None:
    files = collect(tmp_path)
    durations_s = [load_episode(path).duration_s for path in files]
    assert sum(durations_s) >= 14.0
    assert sum(durations_s[:-1]) < 14.0


def test_every_demonstration_succeeds_and_carries_the_asked_cameras(tmp_path: Path) -> None:
    for path in collect(tmp_path):
        episode = load_episode(path, cameras=["wrist_right"])
        assert episode.header.success
        assert episode.image("wrist_right", 0).shape == (64, 64, 3)


def test_an_interrupted_collection_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = collect(tmp_path / "whole")
    part = tmp_path / "part"
    collect(part, replace(SMALL, robot_hours=4.0 / 3600))
    (part / "demo-000001.parquet").write_bytes(b"half a file")
    written_ns = (part / "demo-000000.parquet").stat().st_mtime_ns
    files = collect(part)
    assert [path.name for path in files] == [path.name for path in whole]
    assert files[0].stat().st_mtime_ns == written_ns
    for mine, theirs in zip(files, whole, strict=True):
        one, other = load_episode(mine).frames, load_episode(theirs).frames
        for name in set(Frames.__dataclass_fields__) - {"wall_s"}:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.slow
def test_workers_change_nothing_but_the_time_it_takes(tmp_path: Path) -> None:
    inline = collect(tmp_path / "inline")
    with ProcessEngine(workers=2) as engine:
        collect_demonstrations(SMALL, tmp_path / "two", engine)
    files = demonstration_files(tmp_path / "two")
    assert [path.name for path in files] == [path.name for path in inline]
    for mine, theirs in zip(files, inline, strict=True):
        np.testing.assert_array_equal(load_episode(mine).frames.state, load_episode(theirs).frames.state)


def test_another_collection_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    collect(tmp_path, replace(SMALL, robot_hours=1.0 / 3600))
    with pytest.raises(ConfigurationError, match="seed"):
        collect(tmp_path, replace(SMALL, seed=1))


def test_an_unknown_task_or_camera_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="restock/flat-shelf"):
        collect(tmp_path / "a", replace(SMALL, tasks=("restock/flat-shlef",)))
    with pytest.raises(ConfigurationError, match="wrist_left"):
        collect(tmp_path / "b", replace(SMALL, cameras=("wrist",)))
    assert not list(tmp_path.rglob("*.parquet"))


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="sop-bench demos"):
        demonstration_files(tmp_path)

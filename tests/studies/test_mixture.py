"""Demonstrations of several tasks: in proportion, side by side, each for itself."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from fake_bench import CARRY, SPREAD, TASKS

from sop_bench.episode import load_header
from sop_bench.errors import ConfigurationError
from sop_bench.fleet.engine import InlineEngine
from sop_bench.studies.demos import collect_demonstrations, demonstration_files
from sop_bench.studies.manifest import plain
from sop_bench.studies.mixture import MixtureConfig, collect_mixture, folder_of, profile_hours
from sop_bench.studies.offline import demonstration_config

SEVEN = (
    "restock/flat-shelf",
    "restock/correct",
    "restock/freezer",
    "restock/cooler",
    "cloth/fold",
    "cloth/quarter",
    "box/close",
)


@pytest.fixture
def small(bench: str) -> MixtureConfig:
    return MixtureConfig(robot=bench, tasks=TASKS, robot_hours=26 / 3600, station_seeds=(0,))


def collect(config: MixtureConfig, directory: Path) -> dict[str, list[Path]]:
    with InlineEngine() as engine:
        return collect_mixture(config, directory, engine)


def test_families_get_hours_as_in_the_paper_and_their_tasks_equal_parts():
    assert MixtureConfig(tasks=SEVEN, robot_hours=160).task_hours == pytest.approx(
        dict.fromkeys(SEVEN[:4], 25.0) | dict.fromkeys(SEVEN[4:6], 15.0) | {"box/close": 30.0}
    )


def test_hours_are_those_asked_for_whatever_the_tasks():
    for tasks in (SEVEN, SEVEN[:1], SEVEN[3:], ("weld/seam", *SEVEN[:2])):
        assert sum(MixtureConfig(tasks=tasks, robot_hours=3.0).task_hours.values()) == pytest.approx(3.0)
    with pytest.raises(ConfigurationError, match="Did you mean 'desk'"):
        profile_hours("dask")


def test_every_task_is_collected_in_a_folder_of_its_own(small: MixtureConfig, tmp_path: Path):
    files = collect(small, tmp_path)
    for task in TASKS:
        assert {load_header(file).task for file in files[task]} == {task}
        assert all(file.parent == folder_of(tmp_path, task) for file in files[task])
    everything = demonstration_files(tmp_path)
    assert len(everything) == sum(map(len, files.values()))
    assert len({load_header(file).episode_id for file in everything}) == len(everything)


def test_a_task_that_is_added_or_extended_leaves_the_others_as_they_are(small: MixtureConfig, tmp_path: Path):
    carrying = replace(small, tasks=(CARRY,), robot_hours=small.task_hours[CARRY])
    earlier = collect(carrying, tmp_path)[CARRY]
    written_ns = [file.stat().st_mtime_ns for file in earlier]
    both = collect(small, tmp_path)
    assert both[CARRY] == earlier
    assert [file.stat().st_mtime_ns for file in earlier] == written_ns
    more = collect(replace(small, robot_hours=2 * small.robot_hours), tmp_path)
    assert all(more[task][: len(both[task])] == both[task] for task in TASKS)
    assert len(more[SPREAD]) > len(both[SPREAD])
    assert collect(small, tmp_path) == both  # less than there is: only what was asked for


def test_a_single_collection_and_a_mixture_do_not_share_a_folder(small: MixtureConfig, tmp_path: Path):
    collect(small, tmp_path / "mixture")
    with InlineEngine() as engine:
        with pytest.raises(ConfigurationError, match="holds a mixture"):
            collect_demonstrations(small.collection(CARRY), tmp_path / "mixture", engine)
        collect_demonstrations(small.collection(CARRY), tmp_path / "single", engine)
    with pytest.raises(ConfigurationError, match="holds a single collection"):
        collect(small, tmp_path / "single")


def test_a_checkpoint_can_say_how_its_mixture_was_made(small: MixtureConfig):
    assert demonstration_config({**plain(asdict(small)), "kept": {CARRY: 3}}) == small


def test_mixtures_that_make_no_sense_are_refused():
    with pytest.raises(ConfigurationError, match="each once"):
        MixtureConfig(tasks=(CARRY, CARRY))
    with pytest.raises(ConfigurationError, match="hours above 0"):
        MixtureConfig(family_hours={"restock": 0.0})

"""From a study to the settings of its cells, and to the offline data of its checkpoint."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from sop_bench.errors import ConfigurationError
from sop_bench.fleet.engine import InlineEngine
from sop_bench.fleet.latency import ZERO
from sop_bench.studies.cells import cell_config
from sop_bench.studies.demos import DemonstrationConfig
from sop_bench.studies.live import CellKey
from sop_bench.studies.offline import demonstration_config, offline_demonstrations
from sop_bench.studies.profiles import PROFILES, scale_study
from sop_bench.supervision.demonstrator import DemonstratorConfig


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "policy.safetensors"
    path.write_bytes(b"weights")
    return path


@pytest.mark.parametrize("profile", PROFILES)
def test_cells_of_a_study_differ_in_fleet_and_seed_alone(profile: str, checkpoint: Path):
    study = scale_study(profile, (1, 4), checkpoint=checkpoint, demos=None, seeds=(0, 3), latency="zero")
    keys = study.cells
    assert [(key.seed, key.robots) for key in keys] == [(0, 0), (0, 1), (0, 4), (3, 0), (3, 1), (3, 4)]
    settings = [asdict(cell_config(study, key, checkpoint.parent)) for key in keys]
    for key, setting in zip(keys, settings, strict=True):
        assert (setting.pop("robots"), setting.pop("seed")) == (key.robots, key.seed)
    assert all(setting == settings[0] for setting in settings)


def test_a_cell_is_evaluated_on_as_many_scenes_as_the_study_says_and_ends_with_an_evaluation(
    checkpoint: Path,
):
    study = scale_study("smoke", (1,), checkpoint=checkpoint, demos=None, latency="zero")
    config = cell_config(study, CellKey(0, 1), checkpoint.parent)
    assert len(set(config.evaluation.seeds)) == study.evaluation_episodes
    assert config.evaluation.times_s[0] == 0
    assert config.evaluation.times_s[-1] == config.duration_s
    assert config.latency == ZERO


def test_a_checkpoint_names_its_demonstrations_exactly():
    config = DemonstrationConfig(
        tasks=("a", "b"), robot_hours=0.5, demonstrator=DemonstratorConfig(push_steps=3)
    )
    facts = json.loads(json.dumps({**asdict(config), "kept": 12}))
    assert demonstration_config(facts) == config


def test_a_folder_without_demonstrations_is_refused(checkpoint: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="No demonstrations in"):
        offline_demonstrations(checkpoint, tmp_path / "empty", InlineEngine())

"""Pretraining from nothing, small: every phase runs, and the same configuration gives the same policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sop_bench.fleet.engine import Engine, make_engine
from sop_bench.policy.checkpoint import load_checkpoint
from sop_bench.policy.network import NetworkConfig
from sop_bench.policy.perception import PerceptionConfig
from sop_bench.studies.demos import DemonstrationConfig
from sop_bench.studies.pretrain import CloningConfig, PretrainConfig, pretrain

pytest.importorskip("sop_envs")

SMALL = PretrainConfig(
    station_seeds=(1, 2),
    stills=300,  # so many that every word of the catalogue occurs
    moments=100,
    shard_scenes=100,
    probe_scenes=4,
    demonstrations=DemonstrationConfig(robot_hours=0.001),
    network=NetworkConfig.tiny(),
    perception=PerceptionConfig(steps=3, batch_size=4),
    cloning=CloningConfig(steps=3, batch_size=8),
)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with make_engine(0) as inline:
        yield inline


@pytest.mark.slow
def test_the_same_configuration_gives_the_same_policy(engine, tmp_path: Path):
    phases = []
    versions = [
        pretrain(
            SMALL,
            tmp_path / name,
            tmp_path / f"{name}.safetensors",
            engine,
            lambda phase, *of: phases.append(phase),
        )
        for name in ("first", "second")
    ]
    assert versions[0] == versions[1]
    assert list(dict.fromkeys(phases)) == ["scenes", "encoder", "demonstrations", "cloning"]
    facts = load_checkpoint(tmp_path / "first.safetensors").facts
    assert facts["task"] == SMALL.tasks[0]
    assert facts["demonstrations"]["kept"] >= 1


@pytest.mark.slow
def test_an_encoder_taken_over_stays_as_it_is_and_the_head_starts_anew(engine, tmp_path: Path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    pretrain(SMALL, tmp_path / "work", first, engine)
    pretrain(replace(SMALL, seed=1), tmp_path / "work", second, engine, encoder=first)
    before, after = (load_checkpoint(path).policy for path in (first, second))
    for name, value in before.encoder.state_dict().items():
        assert torch.equal(value, after.encoder.state_dict()[name])
    assert not torch.equal(before.head.fuse.weight, after.head.fuse.weight)

"""A single cell leaves records and a policy that can be used on."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import ReachWorld
from rich.console import Console

from sop_bench.errors import ConfigurationError
from sop_bench.policy.checkpoint import load_checkpoint
from sop_bench.studies import posttrain as posttraining
from sop_bench.studies.live import CellKey
from sop_bench.studies.profiles import scale_study


def test_post_training_leaves_the_last_version_as_a_checkpoint(world: ReachWorld, tmp_path: Path) -> None:
    study = scale_study(
        "smoke",
        (1,),
        seeds=(3,),
        adapter="reach",
        tasks=("reach/near",),
        checkpoint=world.checkpoint,
        demos=world.demos,
        latency="zero",
        evaluation_times_s=(0.0, 60.0),
        evaluation_episodes=4,
        publish_every=25,
    )
    posttraining.posttrain(
        study, CellKey(3, 1), tmp_path, workers=0, fresh=False, console=Console(quiet=True)
    )
    (path,) = tmp_path.rglob("policy.safetensors")
    trained, base = load_checkpoint(path), load_checkpoint(world.checkpoint)
    assert trained.facts["posttraining"]["robots"] == 1
    assert trained.facts["posttraining"]["version"] > 0
    before, after = base.policy.state_dict(), trained.policy.state_dict()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed
    assert all(name.startswith("head.") for name in changed)


def test_a_cell_that_has_published_nothing_has_no_policy(world: ReachWorld, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no published version"):
        posttraining.save_final_policy(world.checkpoint, tmp_path, tmp_path / "policy.safetensors", {})

"""`sop-bench posttrain`: a single cell of `sop-bench scale`, and the policy that comes out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sop_bench.errors import ConfigurationError
from sop_bench.fleet.engine import make_engine
from sop_bench.policy.checkpoint import load_checkpoint, load_update, save_checkpoint
from sop_bench.studies import records
from sop_bench.studies.cells import plain_cells
from sop_bench.studies.live import CellKey, StudyDisplay
from sop_bench.studies.profiles import ScaleStudy
from sop_bench.studies.running import recorded, work_folder
from sop_bench.studies.stats import wilson


def posttrain(
    study: ScaleStudy, key: CellKey, directory: Path, *, workers: int, fresh: bool, console: Console
) -> Table:
    """Run the single cell `key` of `study` in a folder of its own in `directory`; its curve as a table."""
    folder = directory / key.folder
    work = work_folder(folder, fresh)
    with make_engine(workers) as engine:
        run = plain_cells(study, engine, console)
        with recorded("posttrain", study, folder):
            with StudyDisplay([key], study.duration_s, console) as display:
                run(key, work, lambda state: display.update(key, state))
            found = records.gather([(key.name, key.seed, work)], folder)
            facts = {"profile": study.profile, "robots": key.robots, "seed": key.seed}
            save_final_policy(study.checkpoint, work, folder / "policy.safetensors", facts)
    return _curve(found, key, folder)


def save_final_policy(checkpoint: Path, cell: Path, path: Path, facts: dict[str, Any]) -> None:
    """Write the last version that a cell published as a whole checkpoint.

    Args:
        checkpoint: What the cell started from.
        cell: Its working folder.
        facts: What to say of the post-training, besides the version and the checkpoint's own facts.

    Raises:
        ConfigurationError: The cell has published nothing.
    """
    updates = sorted((cell / "updates").glob("v*.safetensors"))
    if not updates:
        raise ConfigurationError(f"{cell} holds no published version. Run the cell first.")
    base = load_checkpoint(checkpoint)
    version = load_update(base.policy, updates[-1], base.policy.version)
    posttraining = {**facts, "version": version.number, "hash": version.content_hash}
    save_checkpoint(
        base.policy, path, facts={**base.facts, "posttraining": posttraining}, number=version.number
    )


def _curve(found: records.Records, key: CellKey, folder: Path) -> Table:
    table = Table(title=f"{key}, seed {key.seed}", caption=f"records in {folder}", box=SIMPLE_HEAD)
    table.add_column("virtual min", justify="right")
    table.add_column("success [95 %]")
    solved = found.outcomes(key.robots)[0].sum(axis=1)
    for time_s, successes in zip(found.times_s, solved, strict=True):
        table.add_row(f"{time_s / 60:.1f}", str(wilson(int(successes), len(found.scenes))))
    return table

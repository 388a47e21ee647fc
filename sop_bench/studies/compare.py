"""`sop-bench compare`: pretrained, HG-DAgger in rounds, and SOP+HG-DAgger, on one budget.

======================  =====================================================================================
``pretrained``           the checkpoint itself: what every other arm starts from
``control``              the same gradient steps on the demonstrations alone
``rounds``               HG-DAgger as before SOP: collect a round with a frozen policy, train, deploy, repeat
``sop``                  SOP+HG-DAgger: the same, all at once
======================  =====================================================================================

At the end of every round the fleet in rounds has had as many robot-hours and gradient steps as the fleet
under SOP, and no more operator-seconds: its operators may spend what SOP's operators (same seed) had spent by
then, exceeded by an episode of each robot at most, since none is cut off. So only freshness differs: of the
weights that robots act with, and of the data that the learner trains on. What is not charged favours the
rounds: robots wait while a round is trained and sent, and that time is on no clock. See
`sop_bench.fleet.cell.Rounds`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from rich.console import Console

from sop_bench.fleet.cell import CellConfig, Rounds
from sop_bench.fleet.engine import Engine
from sop_bench.studies import records
from sop_bench.studies.cells import cell_config, cell_runner, demonstrations, detectable
from sop_bench.studies.compare_figure import draw_comparison
from sop_bench.studies.compare_summary import CONTROL_ARM, ROUNDS, SOP, Comparison, summarise
from sop_bench.studies.fleet_study import OneFleetStudy, minutes, settings
from sop_bench.studies.live import CellKey
from sop_bench.studies.manifest import configuration
from sop_bench.studies.paper import TARGET
from sop_bench.studies.records import CONTROL
from sop_bench.studies.running import WORK, CellRunner, Reading, claim, run_on_workers

PROFILES: dict[str, dict[str, Any]] = {
    # For CI: every part runs, no number means anything.
    "smoke": {"robots": 2, "rounds": 2, "evaluation_times_s": minutes(0, 1, 2), "evaluation_episodes": 8},
    # The default: minutes on two cores. Evaluated where rounds end.
    "desk": {
        "robots": 4,
        "rounds": 5,
        "evaluation_times_s": minutes(0, 6, 12, 18, 24, 30),
        "evaluation_episodes": 100,
    },
    # The paper's main experiment: ten robots for three hours, 200 trials.
    "paper": {
        "robots": 10,
        "rounds": 5,
        "evaluation_times_s": minutes(0, 9, 18, 36, 54, 72, 90, 108, 126, 144, 162, 180),
        "evaluation_episodes": 200,
    },
}


@dataclass(frozen=True, kw_only=True)
class CompareStudy(OneFleetStudy):
    """What `sop-bench compare` runs.

    Attributes:
        rounds: Rounds of the baseline. The paper does not say how many it used; five is what HG-DAgger was
            published with (Kelly et al. 2019, after behaviour cloning).
    """

    rounds: int = 5

    command: ClassVar[str] = "compare"

    @property
    def cells(self) -> list[CellKey]:
        """Every arm that is run, seed by seed."""
        arms = ((CONTROL_ARM, CONTROL), (ROUNDS, self.robots), (SOP, self.robots))
        return [CellKey(seed, robots, arm) for seed, (arm, robots) in product(self.seeds, arms)]

    @property
    def order(self) -> list[CellKey]:
        # Rounds wait for what SOP's operators were charged: SOP begins first, and the control fills the gap.
        return sorted(self.cells, key=lambda key: ((SOP, CONTROL_ARM, ROUNDS).index(key.arm), key.seed))

    def needs(self, key: CellKey) -> CellKey | None:
        return replace(key, arm=SOP) if key.arm == ROUNDS else None


def compare_study(
    profile: str, *, checkpoint: Path | None = None, seeds: tuple[int, ...] | None = None, **overrides: Any
) -> CompareStudy:
    """The study of a profile, any field overridden.

    Raises:
        ConfigurationError: Unknown names, no checkpoint, or values that make no study.
    """
    study = CompareStudy(**settings(PROFILES, profile, seeds, checkpoint, **overrides))
    study.check()
    rounds_cell(study, CellKey(0, study.robots, ROUNDS), Path(), ())  # its rounds must come out even
    return study


def compare(
    study: CompareStudy, directory: Path, *, workers: int, fresh: bool, console: Console
) -> Comparison:
    """Run `study` on `workers` processes, resuming what `directory` holds unless `fresh`.

    Raises:
        ConfigurationError: `directory` holds another study.
    """
    claim(study, directory, fresh)  # refuse before anything is computed
    console.print(
        f"{len(study.cells)} cells of {study.duration_s / 60:.0f} virtual minutes, {study.robots} robots: "
        f"SOP, {study.rounds} rounds with its robot-hours, attention and gradient steps, and a control. "
        + detectable(study.trials, TARGET, "an arm"),
        highlight=False,
    )
    return run_on_workers(
        study,
        directory,
        lambda engine: _runner(study, directory, engine, console),
        COMPARISON,
        workers=workers,
        console=console,
    )


def rounds_cell(study: CompareStudy, key: CellKey, demos: Path, attention_s: tuple[float, ...]) -> CellConfig:
    """The baseline's cell: that of SOP, in rounds, with this much attention by the end of each."""
    rounds = Rounds(study.rounds, attention_s)
    return replace(cell_config(study, key, demos), rounds=rounds, save_every=1)


def attention_by_round(episodes: pd.DataFrame, study: CompareStudy) -> tuple[float, ...]:
    """Operator-seconds of all `episodes` that ended by the end of each round."""
    ended_s, operator_s = (records.column(episodes, name) for name in ("ended_s", "operator_s"))
    ends_s = [study.duration_s * number / study.rounds for number in range(1, study.rounds + 1)]
    return tuple(round(float(operator_s[ended_s <= end_s].sum()), 6) for end_s in ends_s)


def _runner(study: CompareStudy, directory: Path, engine: Engine, console: Console) -> CellRunner:
    demos = demonstrations(study, engine, console)

    def config_of(key: CellKey) -> CellConfig:
        if key.arm != ROUNDS:
            return cell_config(study, key, demos)
        sop = directory / WORK / replace(key, arm=SOP).folder / "episodes.parquet"
        return rounds_cell(study, key, demos, attention_by_round(pd.read_parquet(sop), study))

    return cell_runner(engine, config_of)


def load_comparison(directory: Path) -> Comparison:
    """The summary of the records in `directory`, computed anew from them and their manifest.

    Raises:
        ConfigurationError: `directory` holds no records.
        CorruptDataError: The records or their manifest are damaged.
    """
    found = records.load(directory, by="arm")
    config = configuration(directory, "tasks", "robots", "reset_s")
    return summarise(
        found, tasks=tuple(config["tasks"]), robots=int(config["robots"]), reset_s=float(config["reset_s"])
    )


COMPARISON = Reading(load_comparison, draw_comparison, "comparison")

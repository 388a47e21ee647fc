"""What all processes of one cell share."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import simpy

from sop_bench.fleet.cell import CellConfig
from sop_bench.fleet.engine import Engine
from sop_bench.fleet.journal import Journal

Events = Generator[simpy.Event, Any, None]


class Fleet:
    """One cell while it runs: its clock, and where its computing and its files go.

    Args:
        directory: Of the cell, absolute.
        run_id: Begins every episode's id.
        clock: The one clock.
    """

    def __init__(
        self,
        config: CellConfig,
        engine: Engine,
        journal: Journal,
        directory: Path,
        run_id: str,
        clock: simpy.Environment,
    ):
        self.config, self.engine, self.journal = config, engine, journal
        self.directory, self.run_id, self.clock = directory, run_id, clock
        self.operators = simpy.Resource(clock, config.operators or max(1, config.robots))
        self.learner_home = f"learner/{directory}"
        self.attention_s = 0.0  # charged by operators so far
        self.tell: Callable[[], None] = lambda: None

    def update_file(self, version: int) -> Path | None:
        """The weights of a version; version 0 is the checkpoint itself."""
        return self.directory / "updates" / f"v{version:06d}.safetensors" if version else None

    def attention_left(self) -> bool:
        """Whether operators may begin to watch another episode; only `Rounds` have a cap."""
        rounds = self.config.rounds
        if rounds is None or not rounds.attention_s:
            return True
        return self.attention_s < rounds.attention_s[self.config.round_at(self.clock.now)]

    def episode_file(self, episode_id: str) -> Path:
        return self.directory / "episodes" / f"{episode_id}.parquet"

"""Draws the pretraining figure from the records in results/pretrain-sweep (or a folder given as argument)."""

from __future__ import annotations

import sys
from pathlib import Path

from sop_bench.studies.pretrain_sweep import load_sweep
from sop_bench.studies.sweep_figure import draw_sweep

if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    records = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "results" / "pretrain-sweep"
    for path in draw_sweep(load_sweep(records), records / "pretraining"):
        print(path)

"""Draws the scaling figure from the records in results/scale (or another folder, given as argument)."""

from __future__ import annotations

import sys
from pathlib import Path

from sop_bench.studies.figures import draw_scaling
from sop_bench.studies.scale import load_summary

if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    records = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "results" / "scale"
    for path in draw_scaling(load_summary(records), records / "scaling"):
        print(path)

"""Draws the comparison figure from the records in results/compare (or a folder given as argument)."""

from __future__ import annotations

import sys
from pathlib import Path

from sop_bench.studies.compare import load_comparison
from sop_bench.studies.compare_figure import draw_comparison

if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    records = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "results" / "compare"
    for path in draw_comparison(load_comparison(records), records / "comparison"):
        print(path)

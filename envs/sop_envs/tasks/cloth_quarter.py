"""``cloth/quarter``: the second fold of a cloth that has been folded in half along its length.

The first fold left two layers with a crease on one side. The task is the fold across it, far edge onto near
edge, so that four layers lie on each other. Hands grip the tab at the crease and the tab at the open corner
of the lower layer, which carries the upper one with it.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import numpy as np

from sop_bench.robot import Split, TaskCard
from sop_envs.station import Station, draw_station
from sop_envs.tasks.cloth_fold import FoldSituation
from sop_envs.tasks.cloth_scene import Layout, draw_halved, lay_out, pose_still

NAME, VERSION, TIME_LIMIT_S = "cloth/quarter", "3", 20.0

CORNER_TOLERANCE_M = 0.025  # the outer layers go round the inner ones and come back a little
LAYERS_M = 0.030  # each of the four corners of the sheet lies at most this far from the open near corner
FLAT_M = 0.050  # of the highest vertex: four layers are 0.016, and the folds stand up a little
PLACED_M, PLACED_LOW_M = 0.022, 0.036
SETTLE_STEPS = 100  # of `PHYSICS_STEP_S`: 0.4 s


class QuarterSituation(FoldSituation):
    """A `FoldSituation` of two layers."""

    words = "in quarters"
    corner_tolerance_m, flat_enough_m = CORNER_TOLERANCE_M, FLAT_M
    placed_m, placed_low_m = PLACED_M, PLACED_LOW_M

    def __init__(self, station: Station, layout: Layout, view: Station | None = None, settle: bool = False):
        super().__init__(station, layout, view)
        if settle:  # the layers come to rest on each other while both arms stand still
            self.advance(SETTLE_STEPS)
            self.measure()

    @property
    def stack_error_m(self) -> float:
        """Largest horizontal distance of a corner of the whole sheet from the lower open near corner."""
        crease = self.cloth.columns // 2
        open_column = next(column for _, column in self.layout.corners if column != crease)
        corners = self.vertices_m[[0, 0, -1, -1], [0, -1, 0, -1], :2]
        return float(np.linalg.norm(corners - self.vertices_m[0, open_column, :2], axis=1).max())

    @property
    def folded(self) -> bool:
        return super().folded and self.stack_error_m < LAYERS_M


class ClothQuarter:
    """Registers the above as a `Task`."""

    name, version, time_limit_s = NAME, VERSION, TIME_LIMIT_S
    cameras = ("front", "wrist_left", "wrist_right")
    card = TaskCard(
        summary="Fold a cloth that has been folded in half once more, across the first fold.",
        success="All four corners lie together, the cloth is flat, at rest and let go.",
        failure="A corner came to rest out of reach.",
        variation="Colours, edge, weave and pose of the cloth, the side of its crease, the arms' start; a "
        "quarter of the combinations of colours, edge and weave is kept for tests.",
    )

    def begin(self, station: Station, rng: np.random.Generator, split: Split) -> QuarterSituation:
        return QuarterSituation(station, lay_out(rng, draw_halved(rng, split)), settle=True)

    def still(self, station: Station, rng: np.random.Generator, split: Split) -> QuarterSituation:
        view = draw_station(int(rng.integers(1, 2**31)))
        return QuarterSituation(station, pose_still(rng, draw_halved(rng, split)), view)

"""``box/close``: fold the four sprung flaps of a carton in order, and press the last until it latches.

The scene is that of `sop_envs.tasks.box_close_scene`; the carton, its creases and its latch are those of
`sop_envs.carton`. The latch takes hold only of a left flap that lies over three closed ones; flaps closed in
another order have to be opened again, and nothing that happens to them is final.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Outcome, Split, TaskCard
from sop_envs.carton import CREASE_STEPS, FLAPS, INWARD_RAD, Flaps
from sop_envs.experts.box_close import BoxCloseExpert
from sop_envs.finger import Finger
from sop_envs.so101 import SIDES
from sop_envs.station import Station, draw_station
from sop_envs.tasks.box_close_scene import Layout, build, draw_layout, draw_still

NAME, VERSION, TIME_LIMIT_S = "box/close", "2", 20.0  # the expert needs 5.4, and up to 13 after a wrong start

CLOSED_RAD = math.radians(12)


class BoxCloseSituation:
    """One episode: the compiled scene and named measurements of its state.

    `measure` must have run after the last physics step; everything else reads what it found.
    """

    def __init__(self, station: Station, layout: Layout, view: Station | None = None) -> None:
        self.layout, self.carton = layout, layout.carton
        self.model = build(station, layout, view)
        self.data = mujoco.MjData(self.model)
        self.flaps = Flaps(self.model, self.data, layout.carton)
        self.arms = {side: Finger(side) for side in SIDES}
        cosine, sine = math.cos(layout.yaw_rad), math.sin(layout.yaw_rad)
        turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        self.origin_m = np.array([*layout.position_m, station.table_height_m])
        self.hinges_m = np.array([self.origin_m + turn @ self.carton.hinge_m(f) for f in range(len(FLAPS))])
        inward = layout.yaw_rad + np.array(INWARD_RAD)
        self.inward = np.column_stack([np.cos(inward), np.sin(inward), np.zeros(4)])
        self._lengths_m = np.array(self.carton.flap_m)
        on_carton = {self.model.body(name).id for name in ("carton", *FLAPS)}
        self._on_carton = np.isin(self.model.geom_bodyid, list(on_carton))
        self.data.qpos[: len(layout.arms_rad)] = layout.arms_rad
        self.data.ctrl[:] = layout.arms_rad.astype(np.float32)
        self.flaps.pose(layout.angles_rad)
        self.measure()

    def advance(self, steps: int) -> None:
        """Physics in pieces of at most 20 ms, after each of which creases yield and the latch is tried.

        Yielding is a clip and so does not depend on how the pieces fall.
        """
        while steps > 0:
            piece = min(steps, CREASE_STEPS)
            mujoco.mj_step(self.model, self.data, nstep=piece)
            self.flaps.settle()
            steps -= piece

    def measure(self) -> None:
        self.angles_rad, self.rest_rad = self.flaps.angles_rad, self.flaps.rest_rad
        self.latched = self.flaps.latched
        for arm in self.arms.values():
            arm.measure(self.data)
        pairs = self._on_carton[self.data.contact.geom[: self.data.ncon]]
        self.touched = bool((pairs.sum(axis=1) == 1).any())

    @property
    def edges_m(self) -> NDArray[np.float64]:
        """Middles of the free edges, (4, 3), world."""
        along, up = np.cos(self.angles_rad), np.sin(self.angles_rad)
        edges = self.hinges_m + (self._lengths_m * along)[:, None] * self.inward
        edges[:, 2] += self._lengths_m * up
        return edges

    @property
    def instruction(self) -> str:
        return self.layout.instruction

    def outcome(self) -> tuple[Outcome, str]:
        """Latched, every flap closed, and no hand on the carton."""
        if self.latched and (self.angles_rad < CLOSED_RAD).all() and not self.touched:
            return Outcome.SUCCESS, "closed and latched"
        return Outcome.RUNNING, ""

    def labels(self) -> Mapping[str, NDArray[np.float32]]:
        edges, (left, right) = self.edges_m, (self.arms[side].tip_m for side in SIDES)
        yaw = self.layout.yaw_rad
        expert = self.expert()
        labels = {
            "edges_xyz": edges.ravel(),
            "edges_minus_left_tip": (edges - left).ravel(),
            "edges_minus_right_tip": (edges - right).ravel(),
            "angles": np.concatenate([np.sin(self.angles_rad), np.cos(self.angles_rad)]),
            "carton_xyz": [*self.origin_m[:2], self.origin_m[2] + self.carton.size_m[2]],
            "carton_yaw": [math.sin(2 * yaw), math.cos(2 * yaw)],
            "closed": (self.angles_rad < 2 * CLOSED_RAD).astype(float),
            "due": expert.due_flags(),
            "latched": [float(self.latched)],
        }
        return {name: np.asarray(value, np.float32) for name, value in labels.items()}

    def expert(self) -> BoxCloseExpert:
        return BoxCloseExpert(self)


# ------------------------------------------------------------------------------------------------- task


class BoxClose:
    """Registers the above as a `Task`."""

    name, version, time_limit_s = NAME, VERSION, TIME_LIMIT_S
    cameras = ("front", "wrist_left", "wrist_right")
    card = TaskCard(
        summary="Fold the four sprung flaps of a carton in order, and press the last until it latches.",
        success="The last flap is latched, all four are closed, and no hand touches the carton.",
        failure="None is final: flaps closed in a wrong order can be opened again until time is up.",
        variation="Size, colour, print, pose, stiffness and yield of the carton, where the flaps "
        "stand at first; every fifth combination of size, colour and print is kept for tests.",
    )

    def begin(self, station: Station, rng: np.random.Generator, split: Split) -> BoxCloseSituation:
        return BoxCloseSituation(station, draw_layout(rng, split))

    def still(self, station: Station, rng: np.random.Generator, split: Split) -> BoxCloseSituation:
        view = draw_station(int(rng.integers(1, 2**31)))
        return BoxCloseSituation(station, draw_still(rng, split), view)

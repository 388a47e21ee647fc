"""``cloth/fold``: fold a cloth in half with both arms, its far edge onto its near edge.

The scene, and the frame of all positions, are those of `sop_envs.tasks.cloth_scene`.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Outcome, Split, TaskCard
from sop_envs import kinematics as kin
from sop_envs.cloth import STEP_S, TAB_RADIUS_M, vertex_name
from sop_envs.experts.cloth import FoldExpert
from sop_envs.hand import Hand
from sop_envs.so101 import JOINTS, SIDES
from sop_envs.station import Station, draw_station
from sop_envs.tasks.cloth_scene import FAR_TAB_M, NEAR_TAB_M, Layout, build, draw_spread, lay_out, pose_still
from sop_envs.workcell import PHYSICS_STEP_S

NAME, VERSION, TIME_LIMIT_S = "cloth/fold", "3", 20.0

CORNER_TOLERANCE_M = 0.020
FLAT_M = 0.032  # of the highest vertex: two layers are 0.016
PLACED_M, PLACED_LOW_M = 0.017, 0.026  # a far corner that has been laid down: error, height
AT_REST_M_S = 0.05
CLEAR_M = 0.045  # between every tab and both TCPs, once let go
TURNED_M = 0.008  # how far the goal of a tab follows the turn of its seam
UPRIGHT_M = 0.004  # of a seam that points nowhere in the plane
GRASP_HEIGHT_M, STAND_BACK_M = 0.012, 0.020  # of the TCP, to tell whether a tab is within reach

_JOINTS = len(JOINTS)
_FIT_ROUNDS, _FIT_SCALE_M = 8, 0.01


class FoldSituation:
    """One episode: the compiled scene and named measurements of its state.

    Sides and hands count 0 (left) and 1 (right). Tabs and corners count near left, near right, far left, far
    right: hand `s` is answerable for tabs `s` and ``2 + s``. `measure` must have run after the last physics
    step; everything else reads what it found.
    """

    words = "in half"
    corner_tolerance_m, flat_enough_m = CORNER_TOLERANCE_M, FLAT_M
    placed_m, placed_low_m = PLACED_M, PLACED_LOW_M

    def __init__(self, station: Station, layout: Layout, view: Station | None = None) -> None:
        self.layout, self.cloth = layout, layout.cloth
        self.table_m = station.table_height_m
        self.model = build(station, layout, view)
        self.data = mujoco.MjData(self.model)
        self._asked_s, self._taken = 0.0, 0  # time that was to pass, and steps of this model that did
        model, cloth = self.model, self.cloth
        grid = np.ndindex(cloth.rows, cloth.columns)
        first = np.array([model.body_jntadr[model.body(vertex_name(*vertex)).id] for vertex in grid])
        joints = first[:, None] + np.arange(3)
        self._vertex_q, self._vertex_v = model.jnt_qposadr[joints], model.jnt_dofadr[joints]
        tabs = [model.body(tab.name).id for tab in cloth.tabs]
        self._seam_m = model.body_pos[tabs]
        self._tab_q = model.jnt_qposadr[model.body_jntadr[tabs]][:, None] + np.arange(4)
        self._tab_of_geom = {model.geom(tab.name).id: number for number, tab in enumerate(cloth.tabs)}
        self._pads = [[model.geom(f"{side}_{pad}").id for pad in ("fixed_pad", "jaw_pad")] for side in SIDES]
        lying = layout.lying_m[tuple(np.array(layout.corners).T)]
        self.span_m = float(np.linalg.norm(lying[2] - lying[0]))  # from the far edge to the near one
        self._corners = tuple(np.array(layout.corners).T)
        self.data.qpos[: len(layout.arms_rad)] = layout.arms_rad
        self.data.ctrl[:] = layout.arms_rad.astype(np.float32)
        self.data.qpos[self._vertex_q] = (layout.vertices_m - layout.flat_m).reshape(-1, 3)
        mujoco.mj_kinematics(model, self.data)
        mujoco.mj_flex(model, self.data)  # without it the first image shows no cloth
        self.measure()
        self.start_m = self.tab_m[:, :2].copy()  # where the tabs lay, (4, 2)
        for side, grips in enumerate(layout.gripping):
            if grips:  # in a still no physics has run, so there are no contacts to tell
                self.held[side] = 2 + side

    def advance(self, steps: int) -> None:
        """Steps are counted as everywhere, so a servo's latency is rounded to this model's longer ones.

        What is rounded off is made up for by the next call: in how many pieces time passes does not matter.
        """
        self._asked_s += steps * PHYSICS_STEP_S
        due = round(self._asked_s / STEP_S) - self._taken
        mujoco.mj_step(self.model, self.data, nstep=due)
        self._taken += due

    def measure(self) -> None:
        data = self.data
        self.vertices_m = self.layout.flat_m + data.qpos[self._vertex_q].reshape(self.layout.flat_m.shape)
        self.speed_m_s = float(np.abs(data.qvel[self._vertex_v]).max())
        quats = data.qpos[self._tab_q]
        w, axis = quats[:, :1], quats[:, 1:]
        turn = 2 * np.cross(axis, np.cross(axis, self._seam_m) + w * self._seam_m)
        self.seam_m = self._seam_m + turn
        self.tab_m = np.array([self.vertices_m[tab.vertex] for tab in self.cloth.tabs]) + self.seam_m
        self.corners_m = self.vertices_m[self._corners]
        near = self.corners_m[0, :2] - self.corners_m[1, :2]
        self.across = near / max(1e-9, float(np.linalg.norm(near)))
        self.away = np.array([self.across[1], -self.across[0]])
        touched = [[set[int](), set[int]()] for _ in SIDES]
        if data.ncon:
            for pair in data.contact.geom[: data.ncon].tolist():
                for tab_geom, pad in (pair, pair[::-1]):
                    tab = self._tab_of_geom.get(tab_geom)
                    for pads, sets in zip(self._pads, touched, strict=True):
                        if tab is not None and pad in pads:
                            sets[pads.index(pad)].add(tab)
        self.touched = [fixed | jaw for fixed, jaw in touched]
        self.held = [min(fixed & jaw) if fixed & jaw else None for fixed, jaw in touched]
        joints, targets = data.qpos[: 2 * _JOINTS].tolist(), data.ctrl.tolist()
        self.hands = [
            Hand(name, joints[at : at + _JOINTS], targets[at : at + _JOINTS], self.table_m)
            for name, at in zip(SIDES, (0, _JOINTS), strict=True)
        ]

    # ---------------------------------------------------------------------------------------------- shape

    @property
    def corner_errors_m(self) -> NDArray[np.float64]:
        """Horizontal distance of each far corner from the near corner of its side, (2,)."""
        return np.linalg.norm(self.corners_m[2:, :2] - self.corners_m[:2, :2], axis=1)

    @property
    def top_m(self) -> float:
        """Height of the highest vertex."""
        return float(self.vertices_m[..., 2].max())

    @property
    def narrowest(self) -> float:
        """Width of the narrowest row, as a share of what it is when the cloth lies flat."""
        (_, left), (_, right) = self.layout.corners[:2]
        widths = [
            np.linalg.norm(points[:, left] - points[:, right], axis=1)
            for points in (self.vertices_m, self.layout.lying_m)
        ]
        return float((widths[0] / widths[1]).min())

    def tab_goal_m(self, side: int) -> NDArray[np.float64]:
        """Where the far tab of a side has to be for its corner to lie on the near one (3,)."""
        nominal = FAR_TAB_M * (self.across, -self.across)[side]
        turned = self.seam_m[2 + side, :2] - nominal
        allowed = min(1.0, TURNED_M / max(1e-9, float(np.linalg.norm(turned))))
        return np.array([*(self.corners_m[side, :2] + nominal + allowed * turned), TAB_RADIUS_M])

    def way_left_m(self, side: int) -> float:
        """From the far tab of a side to its goal, in the plane."""
        return float(np.linalg.norm(self.tab_goal_m(side)[:2] - self.tab_m[2 + side, :2]))

    def seam_turn_rad(self, side: int) -> float:
        """How far the seam of a far tab is turned from outwards about the vertical; 0 if it is upright."""
        x, y = self.seam_m[2 + side, :2]
        if math.hypot(x, y) < UPRIGHT_M:
            return 0.0
        out_x, out_y = (self.across, -self.across)[side]
        return math.remainder(math.atan2(y, x) - math.atan2(out_y, out_x), 2 * math.pi)

    def lying_fit(self, rows: slice) -> tuple[NDArray[np.float64], float]:
        """Lay the cloth as it was before the fold onto `rows` of the present vertices.

        Returns the places (4, 2) of its tabs, and the r.m.s. distance of the vertices from theirs. What is
        crumpled or folded over counts little: weights are renewed from the distances.
        """
        before = self.layout.lying_m[rows].reshape(-1, 2)
        now = self.vertices_m[rows, :, :2].reshape(-1, 2)
        fit = _rigid_fit(before, now, np.ones(len(before)))
        for _ in range(_FIT_ROUNDS):
            apart = np.linalg.norm(fit(before) - now, axis=1)
            fit = _rigid_fit(before, now, 1 / (apart + _FIT_SCALE_M))
        apart = np.linalg.norm(fit(before) - now, axis=1)
        stand_off = [[-NEAR_TAB_M, 0.0], [-NEAR_TAB_M, 0.0], [0.0, FAR_TAB_M], [0.0, -FAR_TAB_M]]
        return fit(self.layout.lying_m[self._corners] + stand_off), float(np.sqrt((apart**2).mean()))

    def within_reach(self, tab: int) -> bool:
        """The hand of its side can grasp the tab where it is."""
        x, y, z = self.tab_m[tab] - self.hands[tab % 2].base_m
        height = max(z, GRASP_HEIGHT_M - self.hands[tab % 2].base_m[2])
        return kin.steepest(x - STAND_BACK_M, y, height) is not None

    def lost(self, tab: int) -> bool:
        """Lies where no hand can grasp it."""
        return not self.within_reach(tab) and not any(tab in touched for touched in self.touched)

    # -------------------------------------------------------------------------------------------- success

    @property
    def folded(self) -> bool:
        return bool(
            (self.corner_errors_m < self.corner_tolerance_m).all() and self.top_m < self.flat_enough_m
        )

    @property
    def let_go(self) -> bool:
        """Nothing is touched, and both hands are well away from every tab."""
        gaps = [float(np.linalg.norm(self.tab_m - hand.tcp_m, axis=1).min()) for hand in self.hands]
        return min(gaps) > CLEAR_M and not any(self.touched)

    @property
    def instruction(self) -> str:
        return f"fold the {self.layout.colour} cloth {self.words}"

    def outcome(self) -> tuple[Outcome, str]:
        at_rest = self.speed_m_s < AT_REST_M_S
        if self.folded and self.let_go and at_rest:
            return Outcome.SUCCESS, "folded"
        if at_rest and (self.lost(2) or self.lost(3)):
            return Outcome.FAILURE, "out of reach"
        return Outcome.RUNNING, ""

    # --------------------------------------------------------------------------------------------- labels

    def labels(self) -> Mapping[str, NDArray[np.float32]]:
        goals = np.array([self.tab_goal_m(side) for side in (0, 1)])
        labels = {
            "far_tabs_xyz": self.tab_m[2:].ravel(),
            "near_corners_xyz": self.corners_m[:2].ravel(),
            "left_tab_minus_tcp": self.tab_m[2] - self.hands[0].tcp_m,
            "right_tab_minus_tcp": self.tab_m[3] - self.hands[1].tcp_m,
            "goals_minus_tabs": (goals - self.tab_m[2:]).ravel(),
            "tabs_held": [float(self.held[side] == 2 + side) for side in (0, 1)],
        }
        return {name: np.asarray(value, np.float32) for name, value in labels.items()}

    def expert(self) -> FoldExpert:
        return FoldExpert(self)


def _rigid_fit(
    before_m: NDArray[np.float64], now_m: NDArray[np.float64], weights: NDArray[np.float64]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """The turn and shift in the plane that best bring `before_m` to `now_m`, as a function of points."""
    share = weights / weights.sum()
    centre, middle = share @ before_m, share @ now_m
    a, b = before_m - centre, now_m - middle
    along, cross = share @ (a * b).sum(1), share @ (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    turn = np.array([[along, cross], [-cross, along]]) / max(1e-9, float(np.hypot(along, cross)))
    return lambda points_m: (points_m - centre) @ turn + middle


# ------------------------------------------------------------------------------------------------- task


class ClothFold:
    """Registers the above as a `Task`."""

    name, version, time_limit_s = NAME, VERSION, TIME_LIMIT_S
    cameras = ("front", "wrist_left", "wrist_right")
    card = TaskCard(
        summary="Fold a cloth in half with both arms, its far edge onto its near edge.",
        success="Both far corners lie on the near ones, the cloth is flat, at rest and let go.",
        failure="A corner came to rest out of reach.",
        variation="Colours, edge, weave, pose and waves of the cloth, the arms' start; a quarter of the "
        "combinations of colours, edge and weave is kept for tests.",
    )

    def begin(self, station: Station, rng: np.random.Generator, split: Split) -> FoldSituation:
        return FoldSituation(station, lay_out(rng, draw_spread(rng, split)))

    def still(self, station: Station, rng: np.random.Generator, split: Split) -> FoldSituation:
        view = draw_station(int(rng.integers(1, 2**31)))
        return FoldSituation(station, pose_still(rng, draw_spread(rng, split)), view)

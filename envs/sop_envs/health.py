"""Looking into MuJoCo while a station runs: how deep things press into each other, and how fast they move.

An *object* is whatever moves and is no arm: products, the freezer's lid, flaps, a cloth's vertices and tabs.
Contacts of objects, of arms with what is fixed, and of a cloth's sheet are told apart, because an arm that
leans on the desk would hide the others. Looks are 20 ms apart: a peak between two of them is missed.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_bench.health import Bound, Extreme, Health
from sop_envs.so101 import JOINT_NAMES, SIDES

LOOK_EVERY = 5
"""Physics steps between looks, 20 ms: the pieces in which the carton advances anyway, so that looking changes
no bit of an episode."""

ARM_PENETRATION, OBJECT_PENETRATION = "arm_penetration_m", "object_penetration_m"
CLOTH_PENETRATION = "cloth_penetration_m"
OBJECT_SPEED, JOINT_SPEED = "object_speed_m_s", "joint_speed_rad_s"
BOUNDS: Mapping[str, Bound] = {
    ARM_PENETRATION: Bound(
        0.020,
        "The width of a fingertip: what is deeper is in the desk with all of it. A shoulder at 7.3 rad/s "
        "brings a finger 0.36 m away down at 2.6 m/s; it travels 10 mm in the 4 ms step that finds the "
        "contact, and 10 mm more (speed times 10 ms over e) while a critically damped contact stops it.",
    ),
    OBJECT_PENETRATION: Bound(
        0.014,
        "Half the width of the narrowest product, 28 mm: what is deeper is pushed out on the wrong side.",
    ),
    CLOTH_PENETRATION: Bound(
        0.008, "The thickness of the thicker cloths: what is deeper has gone through the sheet."
    ),
    OBJECT_SPEED: Bound(
        3.0,
        "A fall from the arms' highest reach, 0.45 m, ends at 3.0 m/s, and a finger that a shoulder swings "
        "at 7.3 rad/s, 0.36 m away, has 2.6 m/s: what is faster was thrown by the solver.",
    ),
    JOINT_SPEED: Bound(
        9.0,
        "A servo's 3.35 N m and the arm's weight, at most 1.0 N m, turn a joint at 7.3 rad/s against a "
        "damping of 0.6 N m s; stations differ in none of these. Links that brake or fold push their "
        "neighbours: arms that swing freely from anywhere to anywhere reach 8.2. What is faster was thrown "
        "by the solver.",
    ),
}
_DIVERGED = tuple(getattr(mujoco.mjtWarning, f"mjWARN_{name}") for name in ("BADQPOS", "BADQVEL", "BADQACC"))
_WARNINGS = {
    name.removeprefix("mjWARN_").lower(): int(kind)
    for name, kind in mujoco.mjtWarning.__members__.items()
    if name.startswith("mjWARN_")
}


def diverged(data: mujoco.MjData) -> str:
    """The warning with which MuJoCo gave the episode up and put everything back; empty if it did not."""
    for kind in _DIVERGED:
        if data.warning[kind].number:
            return kind.name.removeprefix("mjWARN_").lower()
    return ""


class HealthProbe:
    """Keeps the worst of one episode; call `look` after pieces of physics."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model, self._root = model, model.body_rootid
        arms = [model.body(f"{side}_base").id for side in SIDES]
        self._objects = np.flatnonzero(~np.isin(self._root, arms) & (model.body_weldid > 0))
        self._of_object = np.isin(model.geom_bodyid, self._objects)
        self._worst = dict.fromkeys(BOUNDS, Extreme(0.0, "", 0.0))
        self._warnings: dict[str, int] = {}
        self._finite = True

    def look(self, data: mujoco.MjData, at_s: float) -> None:
        """Take note of the state; `at_s` is when the running control step began."""
        self._warnings = {
            name: int(data.warning[kind].number)
            for name, kind in _WARNINGS.items()
            if data.warning[kind].number
        }
        self._finite = self._finite and bool(np.isfinite(data.qpos).all() and np.isfinite(data.qvel).all())
        if diverged(data) or not self._finite:
            return  # MuJoCo has put everything back to where the model says: no state of the episode
        self._look_at_contacts(data, at_s)
        speeds = np.abs(data.qvel[: len(JOINT_NAMES)])
        fastest = int(speeds.argmax())
        if self._above(JOINT_SPEED, speeds[fastest]):
            self._note(JOINT_SPEED, speeds[fastest], JOINT_NAMES[fastest], at_s)
        speeds = self._object_speeds_m_s(data)
        fastest = int(speeds.argmax())
        if self._above(OBJECT_SPEED, speeds[fastest]):
            self._note(OBJECT_SPEED, speeds[fastest], self._body_name(int(self._objects[fastest])), at_s)

    def health(self) -> Health:
        return Health(dict(self._worst), dict(self._warnings), self._finite)

    def _look_at_contacts(self, data: mujoco.MjData, at_s: float) -> None:
        if not data.ncon:
            return
        contact = data.contact
        depth_m = -contact.dist
        cloth = (contact.geom < 0).any(axis=1)
        an_object = self._of_object[contact.geom].any(axis=1)
        for name, mine in (
            (ARM_PENETRATION, ~cloth & ~an_object),
            (OBJECT_PENETRATION, ~cloth & an_object),
            (CLOTH_PENETRATION, cloth),
        ):
            if mine.any():
                deepest = int(np.where(mine, depth_m, -np.inf).argmax())
                if self._above(name, depth_m[deepest]):
                    self._note(name, depth_m[deepest], self._pair(contact, deepest), at_s)

    def _object_speeds_m_s(self, data: mujoco.MjData) -> NDArray[np.float64]:
        """Of each object's centre of mass. MuJoCo keeps velocities at the centre of each kinematic tree."""
        velocity = data.cvel[self._objects]
        turn = velocity[:, :3]
        lever = data.xipos[self._objects] - data.subtree_com[self._root[self._objects]]
        linear = velocity[:, 3:] + np.stack(
            [
                turn[:, 1] * lever[:, 2] - turn[:, 2] * lever[:, 1],
                turn[:, 2] * lever[:, 0] - turn[:, 0] * lever[:, 2],
                turn[:, 0] * lever[:, 1] - turn[:, 1] * lever[:, 0],
            ],
            axis=1,
        )
        return np.sqrt((linear**2).sum(axis=1))

    def _above(self, name: str, value: float) -> bool:
        return bool(value > self._worst[name].value)

    def _note(self, name: str, value: float, where: str, at_s: float) -> None:
        self._worst[name] = Extreme(float(value), where, round(at_s, 3))

    def _pair(self, contact: mujoco.MjContact, index: int) -> str:
        sides = zip(contact.geom[index].tolist(), contact.flex[index].tolist(), strict=True)
        names = [self._geom_name(geom) if geom >= 0 else self._flex_name(flex) for geom, flex in sides]
        return " | ".join(sorted(names))

    def _geom_name(self, geom: int) -> str:
        """Its own name, or that of its body and its place among the body's geoms."""
        body = int(self._model.geom_bodyid[geom])
        place = geom - int(self._model.body_geomadr[body])
        return self._model.geom(geom).name or f"{self._body_name(body)}[{place}]"

    def _flex_name(self, flex: int) -> str:
        return mujoco.mj_id2name(self._model, mujoco.mjtObj.mjOBJ_FLEX, flex) or f"flex{flex}"

    def _body_name(self, body: int) -> str:
        return self._model.body(body).name or f"body{body}"

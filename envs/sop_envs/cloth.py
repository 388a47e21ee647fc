"""A cloth as a MuJoCo flex with pull tabs, and the physics that lets two grippers fold it by friction.

A sheet of half-gram vertices cannot be pinched by fingers of a hundred times that inertia: contact stiffness
in MuJoCo scales with the lighter body, so the pads pierce the sheet and never let go of it again. A *tab* is
a rigid bead on a seam, as the loop of a kitchen towel is; pads and fingers touch tabs and table, not the
sheet, and the grasp is friction alone. Even so the pads need the stiff `PAD_SOLIMP`: with MuJoCo's default a
2 g bead sinks 8 mm into each; with these, less than 0.4 mm, and it stays there.

Twelve steps a tenth of a second, pyramidal cones and one problem for all islands are what the time of a step
allows (`docs/lessons.md` has what else was tried). Newton, because conjugate gradients let the grip creep in
slow motion and diverge; at impratio 1 it would creep, too. Layers rub on each other: without friction between
them a second fold slips apart.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_envs.catalogue import Rgb
from sop_envs.products import ARM_BIT, FIXTURE_BIT, PRODUCT_BIT
from sop_envs.so101 import SIDES

CLOTH_BIT = 8
STEP_S = 0.1 / 12  # of physics; twelve make a control step of 10 Hz
TAB_RADIUS_M, TAB_MASS_KG = 0.008, 0.002
SEAM_DAMPING_NMS_PER_RAD = 1e-5  # with a tenth, a bead thrown about spins up until the solver diverges
GRIP_LIMIT_NM = 0.8  # of the gripper: about 10 N at the pads; 1.5 ejects the tab
PAD_SOLREF, PAD_SOLIMP = (0.01, 1.0), (0.9999, 0.999999, 0.0005, 0.5, 2.0)
THREAD_M = 0.003
_CONTACT = (0.01, 1.0)  # solref of cloth and tabs: time constant (s), damping ratio


@dataclass(frozen=True)
class Tab:
    """A bead sewn to one vertex.

    Attributes:
        name: Of its MuJoCo body, joint and geom.
        vertex: (row, column) in the grid.
        offset_m: From the vertex, in the cloth's own frame (x away from the robot, y to its left).
    """

    name: str
    vertex: tuple[int, int]
    offset_m: tuple[float, float]


@dataclass(frozen=True)
class Cloth:
    """A rectangular sheet; rows run away from the robot, columns to its left.

    Attributes:
        rows, columns: Number of vertices. 7 x 5 runs twice as fast as 7 x 7.
        length_m, width_m: Along and across the direction away from the robot.
        radius_m: Half the thickness, as far as contact is concerned.
        bending_pa: Young's modulus of the bending elasticity; 0 is a sheet without stiffness.
        stitches: Pairs of vertices joined by a short thread, as corners that lie on each other.
    """

    rows: int
    columns: int
    length_m: float
    width_m: float
    tabs: tuple[Tab, ...]
    colour_rgb: Rgb
    tab_rgb: Rgb
    radius_m: float = 0.004
    mass_kg: float = 0.02
    friction: float = 1.2
    bending_pa: float = 0.0
    stitches: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = ()

    def flat_m(self) -> NDArray[np.float64]:
        """(rows, columns, 2): the vertices of the flat cloth in its own frame, whose origin is its middle."""
        x = np.linspace(-self.length_m / 2, self.length_m / 2, self.rows)
        y = np.linspace(-self.width_m / 2, self.width_m / 2, self.columns)
        return np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)


def vertex_name(row: int, column: int) -> str:
    """Of the MuJoCo body that carries a vertex."""
    return f"cloth_{row}_{column}"


def set_physics(spec: mujoco.MjSpec) -> None:
    """Solver, integrator and pads for a desk with a cloth on it."""
    option = spec.option
    option.timestep = STEP_S
    option.integrator = mujoco.mjtIntegrator.mjINT_DISCRETE  # the only implicit one that knows flex bending
    option.enableflags &= ~int(mujoco.mjtEnableBit.mjENBL_SLEEP)
    option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_ISLAND)
    option.cone, option.impratio = mujoco.mjtCone.mjCONE_PYRAMIDAL, 3
    option.iterations, option.ls_iterations, option.tolerance = 20, 10, 1e-4
    for side in SIDES:
        spec.actuator(f"{side}_gripper").forcerange = [-GRIP_LIMIT_NM, GRIP_LIMIT_NM]
        for pad in ("fixed_pad", "jaw_pad"):
            geom = spec.geom(f"{side}_{pad}")
            geom.solref, geom.solimp = PAD_SOLREF, PAD_SOLIMP


def add_cloth(spec: mujoco.MjSpec, cloth: Cloth, flat_m: NDArray[np.float64], yaw_rad: float) -> None:
    """Add `cloth`; its zero pose is flat, vertices (rows, columns, 3) there (world), turned by `yaw_rad`.

    Each vertex has three sliding joints, so its coordinates are the displacements from that place.
    """
    grid = list(itertools.product(range(cloth.rows), range(cloth.columns)))
    mass = cloth.mass_kg / len(grid)
    for row, column in grid:
        body = spec.worldbody.add_body(name=vertex_name(row, column), pos=flat_m[row, column])
        body.mass, body.inertia, body.explicitinertial = mass, [mass * 1e-5] * 3, True
        for axis in np.eye(3):
            body.add_joint(type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis)
    flex = spec.add_flex(
        name="cloth",
        dim=2,
        radius=cloth.radius_m,
        vertbody=[vertex_name(*vertex) for vertex in grid],
        elem=_triangles(cloth),
        contype=CLOTH_BIT,
        conaffinity=CLOTH_BIT | FIXTURE_BIT,
        condim=3,
        friction=[cloth.friction, 0.02, 0.001],
        solref=_CONTACT,
        selfcollide=mujoco.mjtFlexSelf.mjFLEXSELF_AUTO,
        edgedamping=0.001,
        rgba=(*cloth.colour_rgb, 1),
    )
    if cloth.bending_pa:
        flex.young, flex.thickness, flex.elastic2d = cloth.bending_pa, 0.003, 1
    spec.add_equality(type=mujoco.mjtEq.mjEQ_FLEX, name1="cloth", solref=_CONTACT)  # edges keep their length
    for vertices in cloth.stitches:
        _stitch(spec, cloth, vertices)
    cosine, sine = math.cos(yaw_rad), math.sin(yaw_rad)
    for tab in cloth.tabs:
        x, y = tab.offset_m
        _add_tab(spec, cloth, tab, np.array([cosine * x - sine * y, sine * x + cosine * y, 0.0]))


def _stitch(spec: mujoco.MjSpec, cloth: Cloth, vertices: tuple[tuple[int, int], tuple[int, int]]) -> None:
    """A thread that never gets longer than `THREAD_M` and the two layers' thickness."""
    names = [vertex_name(*vertex) for vertex in vertices]
    thread = spec.add_tendon(name=f"stitch_{names[0]}", limited=True, width=0.0008)
    thread.range = [0.0, 2 * cloth.radius_m + THREAD_M]
    thread.solref_limit = _CONTACT
    for name in names:
        site = spec.body(name).add_site(name=f"stitch_{name}", size=[0.0008] * 3, group=3)
        thread.wrap_site(site.name)


def _triangles(cloth: Cloth) -> list[int]:
    """Three vertex numbers per triangle; the diagonals of the left half mirror those of the right."""
    numbers = np.arange(cloth.rows * cloth.columns).reshape(cloth.rows, cloth.columns)
    triangles: list[int] = []
    for row, column in itertools.product(range(cloth.rows - 1), range(cloth.columns - 1)):
        a, b = numbers[row, column : column + 2].tolist()
        c, d = numbers[row + 1, column : column + 2].tolist()
        right = column < (cloth.columns - 1) // 2
        triangles += [a, c, d, a, d, b] if right else [a, c, b, b, c, d]
    return triangles


def _add_tab(spec: mujoco.MjSpec, cloth: Cloth, tab: Tab, offset_m: NDArray[np.float64]) -> None:
    """A bead on a ball joint at its vertex: a seam that cannot stretch, and costs no constraint."""
    body = spec.body(vertex_name(*tab.vertex)).add_body(name=tab.name, pos=offset_m)
    body.add_joint(
        name=tab.name, type=mujoco.mjtJoint.mjJNT_BALL, pos=-offset_m, damping=SEAM_DAMPING_NMS_PER_RAD
    )
    body.add_geom(
        name=tab.name,
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=[TAB_RADIUS_M, 0, 0],
        mass=TAB_MASS_KG,
        rgba=(*cloth.tab_rgb, 1),
        friction=[cloth.friction, 0.02, 0.001],
        solref=_CONTACT,
        condim=4,
        contype=PRODUCT_BIT,
        conaffinity=PRODUCT_BIT | FIXTURE_BIT | ARM_BIT,
    )
    body.add_geom(  # the loop it hangs on; seen only
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        fromto=[*(-offset_m), 0.0, 0.0, 0.0],
        size=[0.0025, 0, 0],
        mass=0,
        rgba=(*cloth.tab_rgb, 1),
        contype=0,
        conaffinity=0,
    )

"""The desk that every task starts from: two arms, a table, lamps and cameras.

World frame: x away from the robot, y to its left, z up, metres; the two arm bases stand at z = 0 and the
table top at `Station.table_height_m`.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math

import mujoco
import numpy as np

from sop_envs.products import ARM_BIT, FIXTURE_BIT, PRODUCT_BIT
from sop_envs.so101 import SIDES, add_arm
from sop_envs.station import Station

PHYSICS_STEP_S = 0.004
BASE_Y_M = {"left": 0.15, "right": -0.15}
PAD_FRICTION = 1.5
CONTACT_SOLREF = (0.01, 1.0)  # time constant (s), damping ratio; at .02 a fast arm sinks 26 mm into the desk
BACKDROP_GROUP = 4
_TABLE_FRICTION = 0.45
_LAMP, _AMBIENT, _HEADLIGHT = 0.50, 0.38, 0.16  # brightness; white surfaces stay just below saturation
_TABLE_RGBA = (0.80, 0.76, 0.69, 1)
_FLOOR_RGBA = (0.36, 0.38, 0.42, 1)


def workcell(station: Station) -> mujoco.MjSpec:
    """The empty desk of `station`; a task adds fixtures, products and cameras, and compiles it."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = PHYSICS_STEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 1  # at 5 the solver stops early, and boxes put down tilted gain energy
    spec.option.iterations = 20
    spec.option.enableflags |= mujoco.mjtEnableBit.mjENBL_SLEEP  # standing products cost nothing
    spec.default.geom.solref = CONTACT_SOLREF
    spec.visual.quality.offsamples = 0
    spec.visual.quality.numslices, spec.visual.quality.numstacks = 16, 4
    spec.visual.quality.numquads = 1  # with these an image takes 0.5 ms instead of 2
    spec.visual.headlight.ambient = [_AMBIENT] * 3
    spec.visual.headlight.diffuse = [_HEADLIGHT] * 3
    spec.visual.headlight.specular = [0.0] * 3
    spec.visual.map.znear, spec.visual.map.zfar = 0.02, 20.0
    spec.stat.extent, spec.stat.center = 0.5, [0.2, 0, 0.1]
    height = station.table_height_m
    spec.worldbody.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=[0.2, 0, height],
        size=[0.45, 0.60, 0.05],
        rgba=_TABLE_RGBA,
        friction=[_TABLE_FRICTION * station.friction_gain, 0.005, 0.0001],
        contype=FIXTURE_BIT,
        conaffinity=ARM_BIT | PRODUCT_BIT,
        condim=3,
    )
    spec.worldbody.add_geom(  # seen in pictures for people only
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=[0.0, 0.0, height - 0.5],
        size=[5, 5, 0.1],
        rgba=_FLOOR_RGBA,
        contype=0,
        conaffinity=0,
        group=BACKDROP_GROUP,
    )
    spec.worldbody.add_light(
        name="lamp",
        pos=[0.6, 0.2, 1.2],
        dir=[-0.35, -0.2, -1.0],
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        castshadow=False,
        diffuse=[_LAMP] * 3,
        specular=[0.05] * 3,
        ambient=[0.0] * 3,
    )
    for side in SIDES:
        base = (0.0, BASE_Y_M[side], 0.0)
        add_arm(spec, side, base, station.servo, PAD_FRICTION * station.friction_gain)
    return spec


def add_fixture(
    spec: mujoco.MjSpec,
    centre_m: tuple[float, float, float],
    half_m: tuple[float, float, float],
    rgba: tuple[float, float, float, float],
    collides: bool = False,
) -> None:
    """A box that does not move (world frame)."""
    spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=centre_m,
        size=half_m,
        rgba=rgba,
        contype=FIXTURE_BIT if collides else 0,
        conaffinity=ARM_BIT | PRODUCT_BIT if collides else 0,
        friction=[0.3, 0.005, 0.0001],
    )


def add_camera(
    spec: mujoco.MjSpec,
    name: str,
    look_at_m: tuple[float, float, float],
    distance_m: float,
    azimuth_rad: float,
    elevation_rad: float,
    fovy_deg: float,
) -> None:
    """A fixed camera `distance_m` from what it looks at; azimuth 0 stands on the +x side, looking back."""
    toward = np.array(
        [
            math.cos(elevation_rad) * math.cos(azimuth_rad),
            math.cos(elevation_rad) * math.sin(azimuth_rad),
            math.sin(elevation_rad),
        ]
    )
    right = np.array([-math.sin(azimuth_rad), math.cos(azimuth_rad), 0.0])
    up = np.cross(toward, right)
    spec.worldbody.add_camera(
        name=name,
        pos=np.array(look_at_m) + distance_m * toward,
        quat=_matrix_to_quat(np.column_stack([right, up, toward])),
        fovy=fovy_deg,
    )


def disturb_view(spec: mujoco.MjSpec, camera_name: str, station: Station) -> None:
    """Displace a camera and the lamp as those of `station` are; disturbances add up."""
    camera = spec.camera(camera_name)
    camera.pos = camera.pos + station.camera_offset_m
    camera.fovy = camera.fovy + station.camera_fovy_deg
    turn, turned = np.zeros(4), np.zeros(4)
    tilt = np.array(station.camera_tilt_rad)
    angle = float(np.linalg.norm(tilt))
    mujoco.mju_axisAngle2Quat(turn, tilt / angle if angle > 0 else np.array([1.0, 0.0, 0.0]), angle)
    mujoco.mju_mulQuat(turned, camera.quat, turn)
    camera.quat = turned
    lamp = spec.light("lamp")
    lamp.dir = lamp.dir - np.array(station.light_offset_m)  # the lamp hangs about 1 m above
    warmth = np.array([1 + station.light_warmth, 1.0, 1 - station.light_warmth])
    lamp.diffuse = lamp.diffuse * warmth * station.light_gain


def _matrix_to_quat(matrix: np.ndarray) -> np.ndarray:
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, matrix.ravel())
    return quat

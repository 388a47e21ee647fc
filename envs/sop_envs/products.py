"""Products as MuJoCo bodies: one primitive that collides, and up to five that are only looked at."""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math

import mujoco
import numpy as np

from sop_envs.catalogue import Product, Rgb
from sop_envs.damping import linear

PRODUCT_BIT = 2
FIXTURE_BIT = 1
ARM_BIT = 4

FREE_JOINT_DAMPING = 0.001  # without it a box put down tilted rocks for seconds; with .003 grasps suffer
CENTRE_OF_MASS = 0.40  # share of the height: groceries are heavier below, and topple less
_PROUD_M = 0.0006  # labels stand out of the body by this much

_BOX, _CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
_BODY_SHARE = {"box": 1.0, "carton": 0.80, "bottle": 0.68, "jar": 0.78, "can": 1.0}
_METAL: Rgb = (0.80, 0.81, 0.83)
_CREAM: Rgb = (0.93, 0.90, 0.82)


def yaw_quat(yaw_rad: float) -> np.ndarray:
    """Unit quaternion (w, x, y, z) of a turn about the vertical."""
    return np.array([math.cos(yaw_rad / 2), 0.0, 0.0, math.sin(yaw_rad / 2)])


def add_product(
    spec: mujoco.MjSpec, name: str, product: Product, position_m: np.ndarray, quat: np.ndarray
) -> None:
    """Put `product` at a pose (world; the position is that of the middle of its base), free to move.

    The body starts asleep: it costs nothing until something touches it.
    """
    body = spec.worldbody.add_body(
        name=name, pos=position_m, quat=quat, sleep=mujoco.mjtSleepPolicy.mjSLEEP_INIT
    )
    body.add_freejoint(name=name)
    spec.joint(name).damping = linear(FREE_JOINT_DAMPING)
    half_width, height, mass = product.width_m / 2, product.height_m, product.mass_kg
    sideways = mass * (product.width_m**2 + height**2) / 12
    body.mass = mass
    body.ipos = [0, 0, CENTRE_OF_MASS * height]
    body.inertia = [sideways, sideways, mass * product.width_m**2 / 6]
    body.explicitinertial = True
    body.add_geom(
        name=name,
        type=_CYLINDER if product.round else _BOX,
        size=[half_width, height / 2, 0] if product.round else [half_width, half_width, height / 2],
        pos=[0, 0, height / 2],
        friction=[product.friction, 0.005, 0.0001],
        contype=PRODUCT_BIT,
        conaffinity=PRODUCT_BIT | FIXTURE_BIT | ARM_BIT,
        condim=4,
        mass=0,
        group=3,  # drawn by the visible parts below
    )
    for kind, size, centre, rgb in visible_parts(product):
        body.add_geom(
            type=kind, size=size, pos=centre, rgba=(*rgb, 1), contype=0, conaffinity=0, mass=0, group=1
        )


def visible_parts(product: Product) -> list[tuple[mujoco.mjtGeom, list[float], list[float], Rgb]]:
    """(type, size, centre, colour) of everything that is drawn, in the frame of the product."""
    half, body_height = product.width_m / 2, product.height_m * _BODY_SHARE[product.shape]
    kind = _CYLINDER if product.round else _BOX

    def slab(low: float, high: float, rgb: Rgb, scale: float = 1.0, proud: float = 0.0):
        """A slice of the body between two heights, as a share of the body's height."""
        radius, half_height = half * scale + proud, (high - low) * body_height / 2
        size = [radius, half_height, 0.0] if product.round else [radius, radius, half_height]
        return kind, size, [0.0, 0.0, (low + high) / 2 * body_height], rgb

    def ring(low: float, high: float):
        return slab(low, high, product.label_rgb, proud=_PROUD_M)

    def blade(half_breadth: float, low: float, high: float, along_x: bool):
        """A plate through the body that shows on two opposite sides."""
        through = half + _PROUD_M
        size = [through, half_breadth] if along_x else [half_breadth, through]
        centre = [0.0, 0.0, (low + high) / 2 * body_height]
        return _BOX, [*size, (high - low) * body_height / 2], centre, product.label_rgb

    parts = [slab(0.0, 1.0, product.colour_rgb)]
    top = product.height_m / body_height
    if product.shape == "carton":
        parts += [slab(1.0, (1 + top) / 2, product.colour_rgb, 0.72), slab((1 + top) / 2, top, _CREAM, 0.40)]
    elif product.shape == "bottle":
        parts += [slab(1.0, 1.3, product.colour_rgb, 0.50), slab(1.3, top, _CREAM, 0.56)]
    elif product.shape == "jar":
        parts += [slab(1.0, top, _CREAM, 1.04)]
    elif product.shape == "can":
        parts += [slab(1.0, 1.03, _METAL, 0.92)]

    match product.pattern:
        case "banded":
            parts += [ring(0.33, 0.67)]
        case "tipped":
            parts += [ring(0.78, 0.995)]
        case "footed":
            parts += [ring(0.005, 0.24)]
        case "collared":
            parts += [ring(0.60, 0.76)]
        case "crossed":
            parts += [ring(0.36, 0.60), blade(0.005, 0.02, 0.98, True), blade(0.005, 0.02, 0.98, False)]
        case "ringed":
            parts += [ring(0.16, 0.34), ring(0.64, 0.82)]
        case "halved":
            parts += [ring(0.005, 0.5)]
        case "striped":
            parts += [blade(0.005, 0.02, 0.98, True), blade(0.005, 0.02, 0.98, False)]
        case "dotted":
            parts += [blade(0.006, 0.36, 0.64, True), blade(0.006, 0.36, 0.64, False)]
        case "lined":
            parts += [ring(0.45, 0.55)]
    return parts

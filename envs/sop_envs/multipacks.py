"""Multi-packs: six pieces of one product in a carton with a carrying handle, as MuJoCo bodies.

The carton is too wide for the jaw; the handle on top is as wide as a product and runs along x of the pack.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass, replace

import mujoco
import numpy as np

from sop_envs.catalogue import Product, Rgb
from sop_envs.damping import linear
from sop_envs.products import (
    ARM_BIT,
    CENTRE_OF_MASS,
    FIXTURE_BIT,
    FREE_JOINT_DAMPING,
    PRODUCT_BIT,
    visible_parts,
)

CARTON_M = (0.052, 0.068, 0.042)
HANDLE_M = (0.036, 0.028, 0.034)
MASS_KG = 0.16  # two to four times that of a product
_CAP_XS_M, _CAP_Y_M = (-0.017, 0.0, 0.017), 0.0235
_CAP_RISE_M = 0.0015  # tops are only looked at: the fingers come down over them
_HANDLE_RGB: Rgb = (0.93, 0.90, 0.82)
_CAP_RADIUS_M = {"can": 0.0075, "jar": 0.0080, "bottle": 0.0045, "carton": 0.0050, "box": 0.0078}
_BOX, _CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER


@dataclass(frozen=True, eq=False)
class MultiPack:
    """Six pieces of `product`; measured like a `Product`, upright on z = 0 of its own frame.

    Attributes:
        width_m: What the jaw closes on: the handle.
        height_m: Of carton and handle.
    """

    product: Product
    width_m: float = HANDLE_M[1]
    height_m: float = CARTON_M[2] + HANDLE_M[2]
    round: bool = False

    @property
    def name(self) -> str:
        return f"{self.product.name} pack"

    @property
    def held_out(self) -> bool:
        return self.product.held_out


def add_multipack(
    spec: mujoco.MjSpec, name: str, pack: MultiPack, position_m: np.ndarray, quat: np.ndarray
) -> None:
    """Put `pack` at a pose (world; the position is that of the middle of its base), free to move and asleep.

    The geom called `name` is the handle, which is what a hand can hold.
    """
    body = spec.worldbody.add_body(
        name=name, pos=position_m, quat=quat, sleep=mujoco.mjtSleepPolicy.mjSLEEP_INIT
    )
    body.add_freejoint(name=name)
    spec.joint(name).damping = linear(FREE_JOINT_DAMPING)
    length, width, height = CARTON_M
    body.mass, body.ipos = MASS_KG, [0, 0, CENTRE_OF_MASS * height]
    body.inertia = [
        MASS_KG * (width**2 + height**2) / 12,
        MASS_KG * (length**2 + height**2) / 12,
        MASS_KG * (length**2 + width**2) / 12,
    ]
    body.explicitinertial = True
    handle_z = height + HANDLE_M[2] / 2
    for part, size, z in ((f"{name}_carton", CARTON_M, height / 2), (name, HANDLE_M, handle_z)):
        body.add_geom(
            name=part,
            type=_BOX,
            size=[side / 2 for side in size],
            pos=[0, 0, z],
            friction=[pack.product.friction, 0.005, 0.0001],
            contype=PRODUCT_BIT,
            conaffinity=PRODUCT_BIT | FIXTURE_BIT | ARM_BIT,
            condim=4,
            mass=0,
            group=3,  # drawn by the visible parts below
        )

    def show(kind: mujoco.mjtGeom, size: list[float], centre: list[float], rgb: Rgb) -> None:
        body.add_geom(
            type=kind, size=size, pos=centre, rgba=(*rgb, 1), contype=0, conaffinity=0, mass=0, group=1
        )

    stretch = width / length
    for kind, (x, y, z), centre, rgb in visible_parts(_printed(pack.product)):
        show(kind, [x, y * stretch, z], centre, rgb)
    show(_BOX, [side / 2 for side in HANDLE_M], [0, 0, handle_z], _HANDLE_RGB)
    radius = _CAP_RADIUS_M[pack.product.shape]
    rgb = pack.product.colour_rgb if pack.product.shape in ("box", "bottle") else _HANDLE_RGB
    for x in _CAP_XS_M:
        for y in (-_CAP_Y_M, _CAP_Y_M):
            size = [radius, _CAP_RISE_M, 0.0] if pack.product.round else [radius, radius, _CAP_RISE_M]
            show(_CYLINDER if pack.product.round else _BOX, size, [x, y, height], rgb)


def _printed(product: Product) -> Product:
    """A box of the carton's length and height that is printed like the product."""
    return replace(product, shape="box", width_m=CARTON_M[0], height_m=CARTON_M[2])

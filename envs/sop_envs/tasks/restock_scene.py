"""What the scenes of the restocking family share: the start layout, the desk's fixtures, arms in stills.

All positions are in the base frame of the right arm (x away from the robot, y to its left, z up, metres),
heights are above the table top. "Left" and "right" are those of the front camera, which looks at the robot
as a customer looks at a shelf: the left place is on the robot's right.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_envs import kinematics as kin
from sop_envs.catalogue import Product
from sop_envs.multipacks import MultiPack, add_multipack
from sop_envs.products import add_product, yaw_quat
from sop_envs.so101 import FIXED_FACE_M, JAW_OPEN_RAD, jaw_around_rad
from sop_envs.station import Station
from sop_envs.workcell import BASE_Y_M, add_camera, add_fixture

Rgba = tuple[float, float, float, float]
Point = tuple[float, float, float]

SPACING_M = 0.072  # an open jaw fits between neighbours
ITEM_YAW_RAD = 0.5  # products face the robot roughly; stills show every yaw
GRIPPING_SHARE = 0.15  # stills with the target between the pads
HOME_TCP_M = (0.205, 0.0, 0.125)
PARKED_LEFT_RAD = (1.25, -1.45, 1.35, 0.9, 0.0, 0.0)

BOARD: Rgba = (0.84, 0.85, 0.86, 1)
MAT: Rgba = (0.70, 0.74, 0.79, 1)
BIN: Rgba = (0.60, 0.54, 0.46, 1)
LIP: Rgba = (0.50, 0.53, 0.57, 1)
TAG: Rgba = (0.98, 0.97, 0.92, 1)
INK: Rgba = (0.12, 0.13, 0.15, 1)
_DARTS = 150


@dataclass(frozen=True)
class Layout:
    """Where everything is at the start.

    Attributes:
        products: What stands on the desk; index 0 is the one that a fresh episode asks for.
        positions_m: (n, 2) in the right arm's base frame.
        yaws_rad: (n,).
        goal_item, goal_slot: What the instruction asks for.
        arm_rad: Right arm and gripper, (6,).
        in_hand: Pose of a goal item between the pads, for stills (base frame of the arm; unit quaternion).
        left_rad: Left arm and gripper, six joints.
    """

    products: tuple[Product | MultiPack, ...]
    positions_m: NDArray[np.float64]
    yaws_rad: NDArray[np.float64]
    goal_item: int
    goal_slot: int
    arm_rad: NDArray[np.float64]
    in_hand: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    left_rad: tuple[float, ...] = PARKED_LEFT_RAD


def scatter(
    rng: np.random.Generator,
    count: int,
    spacing_m: float,
    x_m: tuple[float, float],
    y_m: tuple[float, float],
) -> NDArray[np.float64]:
    """`count` places (n, 2) in a rectangle, no two closer than `spacing_m`."""
    while True:
        darts = np.column_stack([rng.uniform(*x_m, _DARTS), rng.uniform(*y_m, _DARTS)])
        clear = np.ones(_DARTS, bool)
        taken: list[int] = []
        while len(taken) < count and clear.any():
            taken.append(int(clear.argmax()))
            clear &= ((darts - darts[taken[-1]]) ** 2).sum(1) >= spacing_m**2
        if len(taken) == count:
            return darts[taken]


def draw_home_arm(rng: np.random.Generator) -> NDArray[np.float64]:
    """Right arm and gripper at the start of an episode, (6,): open, above the middle of the desk."""
    tcp = np.array(HOME_TCP_M) + rng.uniform(-1, 1, 3) * (0.02, 0.06, 0.015)
    arm = kin.steepest(*tcp)
    assert arm is not None  # the home box is well within reach
    return np.array([*arm, arm[0], JAW_OPEN_RAD])


def draw_still_arm(
    rng: np.random.Generator,
    target: Product | MultiPack,
    target_m: NDArray[np.float64],
    x_m: tuple[float, float] = (0.15, 0.32),
    y_m: tuple[float, float] = (-0.17, 0.17),
    height_m: tuple[float, float] = (0.02, 0.14),
    grasp_m: tuple[float, float] = (0.015, 0.028),
) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]] | None]:
    """Right arm and gripper anywhere, often near the target; and the target's pose if it is in the grip."""
    near_target, gripping = rng.random() < 0.4, rng.random() < GRIPPING_SHARE
    arm, tcp = None, np.zeros(3)
    while arm is None:
        tcp = np.array([rng.uniform(*x_m), rng.uniform(*y_m), rng.uniform(*height_m)])
        if near_target and not gripping:
            tcp[:2] = target_m[:2] + rng.normal(0, 0.02, 2)
        arm = kin.steepest(*tcp)
    roll, jaw = arm[0] + rng.uniform(-0.6, 0.6), rng.uniform(kin.GRIPPER_LOWER_RAD, JAW_OPEN_RAD)
    in_hand = None
    if gripping:
        jaw = jaw_around_rad(target.width_m)
        in_hand = hang(target.width_m, tcp, kin.hand_axes([*arm, roll]), rng.uniform(*grasp_m))
    return np.array([*arm, roll, jaw]), in_hand


def hang(
    width_m: float, tcp_m: NDArray[np.float64], axes: tuple[NDArray[np.float64], ...], grasp_m: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pose of what is `width_m` wide, against the fixed pad, gripped `grasp_m` above its base."""
    fingers, opening, third = axes
    position = tcp_m + (FIXED_FACE_M + width_m / 2) * opening + grasp_m * fingers
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, np.column_stack([third, opening, -fingers]).ravel())
    return position, quat


class Desk:
    """Furnishes a workcell in the frame of this module."""

    def __init__(self, spec: mujoco.MjSpec, station: Station) -> None:
        self.spec = spec
        self._dy, self._dz = BASE_Y_M["right"], station.table_height_m

    def fixture(self, centre_m: Point, half_m: Point, rgba: Rgba, collides: bool = False) -> None:
        """A box that does not move."""
        x, y, z = centre_m
        add_fixture(self.spec, (x, y + self._dy, z + self._dz), half_m, rgba, collides)

    def bin(self, x_m: tuple[float, float], y_m: tuple[float, float]) -> None:
        """A floor with a fence of 12 mm on its near side and its flanks, which keeps products in reach."""
        (low_x, high_x), (low_y, high_y) = x_m, y_m
        mid_x, half_x = (low_x + high_x) / 2, (high_x - low_x) / 2
        mid_y, half_y = (low_y + high_y) / 2, (high_y - low_y) / 2
        self.fixture((mid_x, mid_y, -0.0012), (half_x, half_y, 0.0014), BIN)
        self.fixture((low_x, mid_y, 0.006), (0.003, half_y, 0.006), LIP, True)
        for y in (low_y, high_y):
            self.fixture((mid_x, y, 0.006), (half_x, 0.003, 0.006), LIP, True)

    def shelf(self, x_m: tuple[float, float], half_y_m: float) -> None:
        """A board with lips of 4 mm on its far side and its flanks; the jaw would catch more of them."""
        (near_x, far_x), shelf_y = x_m, half_y_m
        middle_x, half_x = (near_x + far_x) / 2, (far_x - near_x) / 2
        self.fixture((middle_x, 0, -0.0012), (half_x, shelf_y, 0.0014), BOARD)
        self.fixture((far_x, 0, 0.002), (0.003, shelf_y, 0.002), LIP, True)
        for side in (-1, 1):
            self.fixture((middle_x, side * shelf_y, 0.002), (half_x, 0.003, 0.002), LIP, True)

    def mat(self, x_m: float, y_m: float) -> None:
        """Marks a facing."""
        self.fixture((x_m, y_m, -0.0008), (0.024, 0.026, 0.0014), MAT)

    def tag(self, x_m: float, y_m: float, bars: int) -> None:
        """A label holder that counts its facing in bars."""
        self.fixture((x_m, y_m, 0.004), (0.009, 0.024, 0.004), TAG)
        for bar in range(bars):
            offset = (bar - (bars - 1) / 2) * 0.012
            self.fixture((x_m, y_m + offset, 0.0047), (0.0065, 0.0032, 0.0042), INK)

    def front_camera(
        self, look_at_m: Point, distance_m: float, elevation_rad: float, fovy_deg: float
    ) -> None:
        """The policy's view, from across the desk."""
        x, y, z = look_at_m
        add_camera(self.spec, "front", (x, y + self._dy, z), distance_m, 0.0, elevation_rad, fovy_deg)


def place_products(spec: mujoco.MjSpec, station: Station, layout: Layout) -> None:
    """Stand the products of `layout` on the desk as ``item0``, ``item1``, ...; one may hang in the hand."""
    for item, product in enumerate(layout.products):
        position, quat = start_pose(station, layout, item)
        if isinstance(product, MultiPack):
            add_multipack(spec, f"item{item}", product, position, quat)
        else:
            add_product(spec, f"item{item}", product, position, quat)


def start_pose(
    station: Station, layout: Layout, item: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """World position (3,) and quaternion (w, x, y, z) of an item of `layout`."""
    (x, y), z, quat = layout.positions_m[item], station.table_height_m, yaw_quat(layout.yaws_rad[item])
    if layout.in_hand is not None and item == layout.goal_item:
        (x, y, z), quat = layout.in_hand
    return np.array([x, y + BASE_Y_M["right"], z]), quat

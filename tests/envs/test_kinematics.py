import math

import mujoco
import numpy as np
import pytest
from sop_envs import kinematics as kin
from sop_envs.station import Station
from sop_envs.workcell import BASE_Y_M, workcell


@pytest.mark.parametrize("height_m", [0.02, 0.06, 0.10])
@pytest.mark.parametrize("y_m", [-0.16, 0.0, 0.16])
def test_inverse_then_forward_returns_to_the_point(y_m, height_m):
    joints = kin.steepest(0.21, y_m, height_m)
    assert joints is not None
    pose = kin.forward([*joints, 0.0])
    assert pose.xyz_m == pytest.approx((0.21, y_m, height_m), abs=1e-9)


def test_forward_agrees_with_the_compiled_model():
    spec = workcell(Station())
    hand = next(body for body in spec.bodies if body.name == "right_wrist_roll")
    hand.add_site(name="tcp", pos=[kin.ROLL_TO_TCP_M, 0, 0])
    model = spec.compile()
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    for _ in range(20):
        arm = rng.uniform(kin.ARM_LOWER_RAD, kin.ARM_UPPER_RAD)
        data.qpos[6:11] = arm
        mujoco.mj_kinematics(model, data)
        in_base = data.site("tcp").xpos - [0.0, BASE_Y_M["right"], 0.0]
        assert kin.forward(arm.tolist()).xyz_m == pytest.approx(in_base, abs=1e-9)


def test_the_gripper_points_straight_down_over_the_bin():
    joints = kin.steepest(0.20, 0.0, 0.03)
    assert joints is not None
    assert kin.forward([*joints, 0.0]).pitch_rad == pytest.approx(math.pi / 2)


def test_a_point_across_the_room_is_out_of_reach():
    assert kin.steepest(0.6, 0.0, 0.1) is None


def test_hand_axes_agree_with_the_compiled_model():
    model = workcell(Station()).compile()
    data = mujoco.MjData(model)
    rng = np.random.default_rng(1)
    for _ in range(10):
        arm = rng.uniform(kin.ARM_LOWER_RAD, kin.ARM_UPPER_RAD)
        data.qpos[6:11] = arm
        mujoco.mj_kinematics(model, data)
        axes = np.column_stack(kin.hand_axes(arm.tolist()))
        assert axes == pytest.approx(data.body("right_wrist_roll").xmat.reshape(3, 3), abs=1e-9)

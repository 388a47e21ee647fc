"""What is known of a robot, and what passes between it and its caller: plain values of `sop_bench.robot`."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import ContractError, unknown_name

Split = Literal["train", "test"]


class Outcome(enum.StrEnum):
    """How an episode stands after a step."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"


@dataclass(frozen=True)
class CameraSpec:
    """One RGB camera; images are uint8 arrays of shape (height, width, 3)."""

    name: str
    height: int
    width: int


@dataclass(frozen=True)
class RobotSpec:
    """What is known of a robot before it is started.

    Attributes:
        name: Registered name of the robot, e.g. ``"so101"``.
        station: What makes this one differ from others of its name (plain data; kept with each episode).
        control_hz: Rate at which `Robot.step` is to be called.
        joint_names: One name per action dimension.
        joint_lower_rad, joint_upper_rad: Limits of the joint-position targets, (action_dim,).
        max_step_rad: Largest change of a target in one control step, (action_dim,).
        proprioception_names: One name per dimension of `Observation.proprioception`.
        cameras: The cameras every observation offers.
        tasks: Names accepted by `Robot.reset`.
        time_limit_s: Time-out of each task, by name.
        seedable: Equal (task, seed) give equal episodes for equal actions.
        resets_itself: No person is needed between episodes.
        real: Moves mass in the real world.
    """

    name: str
    station: Mapping[str, float | int | str]
    control_hz: float
    joint_names: tuple[str, ...]
    joint_lower_rad: NDArray[np.float32]
    joint_upper_rad: NDArray[np.float32]
    max_step_rad: NDArray[np.float32]
    proprioception_names: tuple[str, ...]
    cameras: tuple[CameraSpec, ...]
    tasks: tuple[str, ...]
    time_limit_s: Mapping[str, float]
    seedable: bool
    resets_itself: bool
    real: bool

    @property
    def action_dim(self) -> int:
        return len(self.joint_names)

    @property
    def control_step_s(self) -> float:
        return 1.0 / self.control_hz

    def camera(self, name: str) -> CameraSpec:
        """The camera called `name`; raises `ConfigurationError` if there is none."""
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise unknown_name("camera", name, (c.name for c in self.cameras))


@dataclass(frozen=True)
class Observation:
    """What a policy may see.

    Attributes:
        images: Camera name to uint8 (height, width, 3). A simulated robot renders an image when it is
            first asked for, so read images before the next `step`: a late read raises `ContractError`.
        proprioception: float32, as named in `RobotSpec.proprioception_names`.
        commanded_rad: float32 (action_dim,): the joint targets last executed; a chunk is relative to these.
        instruction: The task in words, e.g. ``"put the green banded carton in the left slot"``.
    """

    images: Mapping[str, NDArray[np.uint8]]
    proprioception: NDArray[np.float32]
    commanded_rad: NDArray[np.float32]
    instruction: str


@dataclass(frozen=True)
class Step:
    """The result of one control step.

    Attributes:
        observation: What is seen after the step.
        executed_rad: (action_dim,) the action the robot truly took, after its own limits.
        outcome: Where the episode stands.
        reason: Why it ended, in a few words (``"placed"``, ``"dropped off the table"``); empty while running.
    """

    observation: Observation
    executed_rad: NDArray[np.float32]
    outcome: Outcome
    reason: str = ""


def checked_split(name: str) -> Split:
    """`name` as a split; raises `ConfigurationError` if there is no such split."""
    if name == "train" or name == "test":
        return name
    raise unknown_name("split", name, ("train", "test"))


def checked_action(spec: RobotSpec, action_rad: NDArray[np.floating]) -> NDArray[np.float32]:
    """`action_rad` as float32 after the checks every robot owes its users.

    Raises:
        ContractError: Wrong shape, or NaN or infinity among the values.
    """
    action = np.asarray(action_rad, dtype=np.float32)
    if action.shape != (spec.action_dim,):
        raise ContractError(
            f"Action for {spec.name!r} has shape {action.shape}; allowed: ({spec.action_dim},), one target "
            f"in rad per joint. Check the policy's action dimension."
        )
    if not np.isfinite(action).all():
        bad = [spec.joint_names[i] for i in np.flatnonzero(~np.isfinite(action))]
        raise ContractError(
            f"Action for {spec.name!r} is not finite at {', '.join(bad)}; nothing was moved. Check the "
            f"policy's weights and normaliser."
        )
    return action


def allowed_action(
    spec: RobotSpec, action_rad: NDArray[np.floating], commanded_rad: NDArray[np.floating]
) -> NDArray[np.float32]:
    """The nearest action to `action_rad` within the joint limits and one step's reach of `commanded_rad`.

    Raises:
        ContractError: Wrong shape, or NaN or infinity among the values.
    """
    # Not np.clip: on twelve numbers it takes twice as long, and this runs twice in every step.
    action, reach = checked_action(spec, action_rad), spec.max_step_rad
    action = np.minimum(np.maximum(action, commanded_rad - reach), commanded_rad + reach)
    action = np.minimum(np.maximum(action, spec.joint_lower_rad), spec.joint_upper_rad)
    return action.astype(np.float32, copy=False)

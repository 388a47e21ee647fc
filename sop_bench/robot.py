"""The one interface of simulated stations and real arms.

A robot says what it is before it is started (`RobotSpec`), and has three verbs. The only caller that
steps one is `sop_bench.rollout.run_episode`; in outline::

    with make_robot("so101", station_seed=3) as robot:
        observation = robot.reset("restock/flat-shelf", seed=17)
        outcome = Outcome.RUNNING
        while outcome is Outcome.RUNNING:
            action = choose(observation)            # (action_dim,) joint-position targets, rad
            step = robot.step(action)
            observation, outcome = step.observation, step.outcome

Robots are found through the entry-point group ``sop_bench.robots``: each entry is a factory called as
``factory(station_seed=int) -> Robot``. `sop-bench robots` lists what is installed.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import TracebackType
from typing import Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import ContractError, unknown_name

ROBOTS_GROUP = "sop_bench.robots"

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


class Robot(Protocol):
    """A station: one robot with its cameras and its scene."""

    @property
    def spec(self) -> RobotSpec: ...

    def reset(self, task: str, seed: int, *, split: Split = "train") -> Observation:
        """Set up the scene `seed` of `task` from the given instance split and return the first observation.

        Raises:
            ConfigurationError: The task is not one of `spec.tasks`.
        """
        ...

    def step(self, action_rad: NDArray[np.floating]) -> Step:
        """Move for one control step towards joint-position targets, (action_dim,).

        Raises:
            ContractError: The action has the wrong shape or is not finite, or the episode is over.
        """
        ...

    def close(self) -> None:
        """Release devices and memory; real arms come to rest first. May be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


# ------------------------------------------------------------------ what simulated robots can do besides


@dataclass(frozen=True)
class Assessment:
    """How the scripted expert judges the present state (privileged: it sees the simulator's state).

    Attributes:
        hazard: Name of the imminent or committed failure, e.g. ``"misaligned descent"``; empty if none.
        safe: The policy may be given control again.
        recoverable: The expert could still bring this episode to success.
        progress: Grows with the task, in [0, 1]; used to notice a stall.
    """

    hazard: str
    safe: bool
    recoverable: bool
    progress: float


class Expert(Protocol):
    """A stateless reactive expert: may be asked at any state, and remembers nothing between calls."""

    def act(self) -> NDArray[np.float32]:
        """Joint-position targets for the next control step, (action_dim,), rad."""
        ...

    def assess(self) -> Assessment:
        """A judgement of the present state."""
        ...


@runtime_checkable
class HasExpert(Protocol):
    """Robots that come with a scripted expert (the demonstrator and the scripted operator)."""

    def expert(self) -> Expert: ...


@dataclass(frozen=True)
class LabelledScene:
    """One random still of a task, with the labels that a simulator knows.

    Attributes:
        observation: As a policy would see it; images already rendered.
        labels: Name to float32 vector, e.g. ``{"target_xyz": (3,)}`` in metres, base frame. The same keys
            and shapes for every scene of a task.
    """

    observation: Observation
    labels: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@runtime_checkable
class HasLabelledScenes(Protocol):
    """Robots that can pose random scenes without physics, for perception pretraining."""

    def labelled_scene(
        self, task: str, rng: np.random.Generator, *, split: Split = "train"
    ) -> LabelledScene: ...


@runtime_checkable
class HasLabels(Protocol):
    """Robots that can label the present state, with the keys of `LabelledScene.labels`."""

    def labels(self) -> Mapping[str, NDArray[np.float32]]: ...


@dataclass(frozen=True)
class TaskCard:
    """A task in words, for people who choose one. Numbers are not here: they come from the spec and records.

    Attributes:
        summary: What the robot is to do, and with what.
        success: When an episode counts as solved.
        failure: What ends it without success, besides the time limit.
        variation: What differs between episodes, and between the splits.
    """

    summary: str
    success: str
    failure: str
    variation: str


@runtime_checkable
class HasTaskCards(Protocol):
    """Robots that describe their tasks in words."""

    def task_cards(self) -> Mapping[str, TaskCard]:
        """The cards by task name; tasks that nobody has described yet are missing."""
        ...


class Window(Protocol):
    """A running episode on the screen, for people."""

    @property
    def is_open(self) -> bool: ...

    def refresh(self) -> None:
        """Show the present state."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class HasWindow(Protocol):
    """Robots whose running episode can be looked at in a window."""

    def open_window(self) -> Window:
        """Show the running episode; raises `ConfigurationError` where there is no display."""
        ...


# ------------------------------------------------------------------------------------------- registry


def installed_robots() -> dict[str, EntryPoint]:
    """Every robot offered by an installed package, by name."""
    return {entry.name: entry for entry in entry_points(group=ROBOTS_GROUP)}


def make_robot(name: str, *, station_seed: int = 0) -> Robot:
    """Build the robot registered as `name`; `station_seed` draws the station from its distribution.

    Raises:
        ConfigurationError: No installed package registers `name`.
    """
    found = installed_robots()
    if name not in found:
        raise unknown_name(
            "robot", name, found, f"A package offers one through the entry-point group {ROBOTS_GROUP!r}."
        )
    return found[name].load()(station_seed=station_seed)


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

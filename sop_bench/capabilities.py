"""What a robot may offer besides `sop_bench.robot.Robot`; simulated ones do, and no real arm has to.

Who needs one of these checks for it with `isinstance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sop_bench.robot_spec import Observation, Split


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

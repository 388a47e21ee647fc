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

An adapter imports everything from here: also the values that a robot exchanges (`sop_bench.robot_spec`) and
what it may offer besides (`sop_bench.capabilities`).
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sop_bench.capabilities import (
    Assessment,
    Expert,
    HasExpert,
    HasLabelledScenes,
    HasLabels,
    HasTaskCards,
    HasWindow,
    LabelledScene,
    TaskCard,
    Window,
)
from sop_bench.errors import unknown_name
from sop_bench.robot_spec import (
    CameraSpec,
    Observation,
    Outcome,
    RobotSpec,
    Split,
    Step,
    allowed_action,
    checked_action,
    checked_split,
)

__all__ = [
    "ROBOTS_GROUP",
    "Assessment",
    "CameraSpec",
    "Expert",
    "HasExpert",
    "HasLabelledScenes",
    "HasLabels",
    "HasTaskCards",
    "HasWindow",
    "LabelledScene",
    "Observation",
    "Outcome",
    "Robot",
    "RobotSpec",
    "Split",
    "Step",
    "TaskCard",
    "Window",
    "allowed_action",
    "checked_action",
    "checked_split",
    "installed_robots",
    "make_robot",
]

ROBOTS_GROUP = "sop_bench.robots"


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

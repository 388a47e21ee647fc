"""What a task is to the robot that runs it.

The robot steps MuJoCo; the task says what stands on the desk and how it goes. In outline::

    situation = task.begin(station, rng, split)     # compiles a model, places everything
    while outcome is Outcome.RUNNING:
        ...                                         # set data.ctrl
        situation.advance(steps)
        situation.measure()
        outcome, reason = situation.outcome()
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_bench.robot import Expert, Outcome, Split, TaskCard
from sop_envs.station import Station


class Situation(Protocol):
    """One episode of a task: a compiled model, its state, and what the instruction asks for."""

    @property
    def model(self) -> mujoco.MjModel: ...

    @property
    def data(self) -> mujoco.MjData: ...

    @property
    def instruction(self) -> str: ...

    def advance(self, steps: int) -> None:
        """Let physics run `steps` steps of `sop_envs.workcell.PHYSICS_STEP_S` under the present `data.ctrl`.

        Most tasks only call ``mj_step``; one whose material remembers (a crease in carton) keeps that here.
        """
        ...

    def measure(self) -> None:
        """Read contacts and poses; called once after every control step."""
        ...

    def outcome(self) -> tuple[Outcome, str]:
        """How the episode stands and, if it is over, why."""
        ...

    def labels(self) -> Mapping[str, NDArray[np.float32]]:
        """What a simulator knows of the state, for auxiliary losses and probes."""
        ...

    def expert(self) -> Expert: ...


@runtime_checkable
class HasGoals(Protocol):
    """A situation in which more than one thing can be asked for, as a check of language needs it."""

    def set_goal(self, item: int, slot: int) -> None:
        """Ask for something else in the same scene."""
        ...


@runtime_checkable
class HasCard(Protocol):
    """A task that describes itself to people, as `sop-bench tasks` shows it."""

    card: TaskCard


class Task(Protocol):
    """A family member such as ``restock/flat-shelf``."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str:
        """Changes whenever results of the task stop being comparable."""
        ...

    @property
    def time_limit_s(self) -> float: ...

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras that see the task's work area; labelled scenes render these."""
        ...

    def begin(self, station: Station, rng: np.random.Generator, split: Split) -> Situation:
        """Set up a new episode."""
        ...

    def still(self, station: Station, rng: np.random.Generator, split: Split) -> Situation:
        """Pose a random scene for perception pretraining; it is never stepped."""
        ...

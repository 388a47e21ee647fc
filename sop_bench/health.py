"""What a simulated robot can tell about its own physics: how deep, how fast, and what the simulator said.

A robot that implements `HasHealth` looks into its physics while it is stepped, if it is asked to::

    robot.watch_health(True)
    robot.reset(task, seed)
    ...                                  # steps; the same to the bit as without looking
    health = robot.health()              # the worst since the reset, also after a RobotFaultError
    bounds = robot.health_bounds()       # what sound physics stays below, by the same names
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Bound:
    """What a quantity of sound physics stays below.

    Attributes:
        limit: In the unit that ends the quantity's name, such as ``penetration_m``.
        reason: Why this value, in a sentence.
    """

    limit: float
    reason: str


@dataclass(frozen=True)
class Extreme:
    """The largest value of one quantity in an episode.

    Attributes:
        value: In the unit that ends the quantity's name.
        where: The pair of geoms, the body or the joint, by name; empty if it never rose above zero.
        at_s: Start of the control step in which it was reached, seconds after the reset.
    """

    value: float
    where: str
    at_s: float


@dataclass(frozen=True)
class Health:
    """What went on inside physics since the last reset.

    Attributes:
        worst: The largest value of each quantity, by its name.
        warnings: How often the simulator warned, by the warning's name; only those that occurred.
        finite: No coordinate or speed was NaN or infinite.
    """

    worst: Mapping[str, Extreme]
    warnings: Mapping[str, int]
    finite: bool


@runtime_checkable
class HasHealth(Protocol):
    """Robots whose physics can be looked into while they are stepped."""

    def health_bounds(self) -> Mapping[str, Bound]:
        """One bound for each quantity of `Health.worst`, in the order in which they are shown."""
        ...

    def watch_health(self, watching: bool) -> None:
        """Look into physics from the next reset on, or no longer; what happens is the same to the bit."""
        ...

    def health(self) -> Health:
        """The worst since the last reset.

        Raises:
            ContractError: Nobody asked to watch before that reset.
        """
        ...

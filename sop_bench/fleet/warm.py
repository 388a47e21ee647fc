"""What a process keeps warm: robots and policies are expensive to build, so the last few used are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from sop_bench.policy.base import Policy
from sop_bench.robot import Robot, make_robot

T = TypeVar("T")


class Kept(Generic[T]):
    """The last few values that were built, by key.

    Args:
        capacity: How many values are kept.
        dispose: Called with each value that leaves.
    """

    def __init__(self, capacity: int, dispose: Callable[[T], None] = lambda value: None):
        self._capacity, self._dispose = capacity, dispose
        self._values: OrderedDict[Any, T] = OrderedDict()

    def get(self, key: Any, build: Callable[[], T]) -> T:
        """The value of `key`, built now if it is not there."""
        if key not in self._values:
            while len(self._values) >= self._capacity:
                self._dispose(self._values.popitem(last=False)[1])
            self._values[key] = build()
        self._values.move_to_end(key)
        return self._values[key]

    def discard(self, key: Any) -> None:
        """Forget `key`, if it is there."""
        if key in self._values:
            self._dispose(self._values.pop(key))


def _close(robot: Robot) -> None:
    robot.close()


# A simulated robot takes 90 MB: those of eight lanes (`sop_bench.lockstep`), and the stations of some fleets.
_robots: Kept[Robot] = Kept(12, _close)
# The robots of a fleet act with as many versions; one of a generalist takes 40 MB and 0.1 s to read.
_policies: Kept[Policy] = Kept(12)


def robot_for(name: str, station_seed: int, copy: int = 0) -> Robot:
    """This process's robot `name` at station `station_seed`; it is not yours to close.

    Args:
        copy: Simulated robots of one station that are in use at once are copies of each other.

    Raises:
        ConfigurationError: No installed package registers `name`.
    """
    return _robots.get((name, station_seed, copy), lambda: make_robot(name, station_seed=station_seed))


def retire_robot(name: str, station_seed: int, copy: int = 0) -> None:
    """Close a robot that has failed; the next `robot_for` builds it anew."""
    _robots.discard((name, station_seed, copy))


def policy_for(checkpoint: Path, update: Path | None = None) -> Policy:
    """This process's policy: `checkpoint`, with the newer weights of `update` laid over it.

    Raises:
        ConfigurationError: There is no such file.
        CorruptDataError: A file is damaged, or the update belongs to another checkpoint.
    """
    stamps = tuple(_modified_ns(path) for path in (checkpoint, update))
    return _policies.get((checkpoint, update, stamps), lambda: _load_policy(checkpoint, update))


def _modified_ns(path: Path | None) -> int:
    """So that a file written again is read again."""
    return path.stat().st_mtime_ns if path is not None and path.exists() else 0


def _load_policy(checkpoint: Path, update: Path | None) -> Policy:
    from sop_bench.policy.checkpoint import load_checkpoint, load_update

    policy = load_checkpoint(checkpoint).policy
    if update is not None:
        load_update(policy, update, base=policy.version)
    return policy

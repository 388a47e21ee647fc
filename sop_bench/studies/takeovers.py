"""How often the expert finishes what a bad policy has begun: takeovers from states off the expert's own path.

The bad policies know nothing private of a task: three random ones, and the expert with a shaking hand. They
act in turn by episode. What ended before the takeover, or cannot be saved when it comes, is counted apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sop_bench.errors import RobotFaultError
from sop_bench.fleet.warm import retire_robot, robot_for
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.studies.actors import ABRUPT, RANDOM, SHAKY, SMOOTH, actor, execute_steps
from sop_bench.studies.stats import Interval, wilson
from sop_bench.supervision.takeover import TakeoverConfig

BAD_POLICIES = (RANDOM, SMOOTH, ABRUPT, SHAKY)
FAULT = "robot fault"
BEYOND_SAVING = "cannot be saved"


@dataclass(frozen=True)
class TakeoverAttempt:
    """One episode.

    Attributes:
        policy: The bad policy, one of `BAD_POLICIES`.
        taken_over: It came to a takeover; if not, the episode was lost before.
        reason: Why it ended, or why it was lost.
    """

    policy: str
    taken_over: bool
    success: bool
    reason: str


@dataclass(frozen=True)
class TakeoverCount:
    """How the expert did after one bad policy, or after all.

    Attributes:
        successes: Of those taken over.
        taken_over: Episodes that came to a takeover.
        lost: Episodes that ended before it, solved or not, or could not be saved when it came.
    """

    successes: int
    taken_over: int
    lost: int

    @property
    def rate(self) -> Interval:
        """Successes of those taken over, with its 95 % Wilson interval."""
        return wilson(self.successes, self.taken_over)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "rate": self.rate.as_dict()}


@dataclass(frozen=True)
class TakeoverRate:
    """How the expert did.

    Attributes:
        by_policy: For each bad policy.
        failures: How often takeovers failed for each reason, most frequent first.
        lost_reasons: The same of episodes lost before; ``"placed"`` and the like are those solved too early.
    """

    by_policy: Mapping[str, TakeoverCount]
    failures: Mapping[str, int]
    lost_reasons: Mapping[str, int]

    @property
    def total(self) -> TakeoverCount:
        counts = self.by_policy.values()
        return TakeoverCount(
            sum(count.successes for count in counts),
            sum(count.taken_over for count in counts),
            sum(count.lost for count in counts),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with rates."""
        by_policy = {name: count.as_dict() for name, count in self.by_policy.items()}
        reasons = {"failures": dict(self.failures), "lost_reasons": dict(self.lost_reasons)}
        return {**self.total.as_dict(), **reasons, "by_policy": by_policy}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TakeoverRate:
        """Raises `KeyError` or `TypeError` for what `as_dict` did not make."""
        names = TakeoverCount.__dataclass_fields__
        by_policy = {
            policy: TakeoverCount(**{name: count[name] for name in names})
            for policy, count in data["by_policy"].items()
        }
        return cls(by_policy, data["failures"], data["lost_reasons"])


def attempt_takeover(
    robot_name: str, station_seed: int, request: EpisodeRequest, index: int
) -> TakeoverAttempt:
    """Episode `index`, which decides the bad policy; all else that is random follows from `request`."""
    policy = BAD_POLICIES[index % len(BAD_POLICIES)]
    robot = robot_for(robot_name, station_seed)
    supervisor = TakeoverConfig().build()
    # A stress policy's chunk is executed whole: cut short, its targets would never be reached.
    request = replace(request, execute_steps=execute_steps(policy))
    try:
        header = run_episode(robot, actor(policy, robot), request, supervisor).header
        success, reason = header.success, header.reason
    except RobotFaultError:
        retire_robot(robot_name, station_seed)
        success, reason = False, FAULT
    if supervisor.recoverable is False:
        success, reason = False, BEYOND_SAVING
    return TakeoverAttempt(policy, supervisor.recoverable is True, success, reason)


def summary(attempts: Sequence[TakeoverAttempt]) -> TakeoverRate:
    """What the episodes amount to."""

    def count(policy: str) -> TakeoverCount:
        mine = [attempt for attempt in attempts if attempt.policy == policy]
        taken_over = [attempt for attempt in mine if attempt.taken_over]
        successes = sum(attempt.success for attempt in taken_over)
        return TakeoverCount(successes, len(taken_over), len(mine) - len(taken_over))

    failures = Counter(attempt.reason for attempt in attempts if attempt.taken_over and not attempt.success)
    lost = Counter(attempt.reason for attempt in attempts if not attempt.taken_over)
    by_policy = {policy: count(policy) for policy in BAD_POLICIES}
    return TakeoverRate(by_policy, dict(failures.most_common()), dict(lost.most_common()))

"""Which robots of a fleet do which tasks: families of tasks get robots in given proportions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sop_bench.errors import ConfigurationError

PAPER_ROBOTS: Mapping[str, int] = {"restock": 4, "cloth": 3, "box": 3}
"""The paper's ten robots: grocery, laundry and box."""


def allocate(
    robots: int, tasks: Sequence[str], family_robots: Mapping[str, int] = PAPER_ROBOTS
) -> tuple[tuple[str, ...], ...]:
    """The tasks of each robot, as `CellConfig.robot_tasks` takes them.

    Every family gets at least one robot, and of the rest its share, by largest remainders. The robots of a
    family do all of its tasks in turn, each beginning with another. In a fleet of fewer robots than families
    every robot does everything.

    Args:
        robots: Fleet size; 0 is the control, which needs none.
        tasks: Names, ``"family/task"``.
        family_robots: Proportions; a family that is not named here counts as the least of those that are.

    Raises:
        ConfigurationError: There are no tasks, or a proportion is not positive.
    """
    if not tasks or not family_robots or min(family_robots.values()) <= 0:
        raise ConfigurationError(
            f"Cannot allocate robots to tasks {list(tasks)} in proportions {dict(family_robots)}; allowed: "
            f"at least one task, and proportions above 0."
        )
    families: dict[str, list[str]] = {}
    for task in tasks:
        families.setdefault(task.split("/")[0], []).append(task)
    if robots < len(families):
        return tuple(_from(tasks, robot) for robot in range(robots))
    least = min(family_robots.values())
    counts = apportion(robots, [family_robots.get(family, least) for family in families])
    return tuple(
        _from(members, robot)
        for members, count in zip(families.values(), counts, strict=True)
        for robot in range(count)
    )


def _from(tasks: Sequence[str], first: int) -> tuple[str, ...]:
    start = first % len(tasks)
    return (*tasks[start:], *tasks[:start])


def apportion(seats: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers that sum to `seats` and come closest to the weights, none below 1."""
    quotas = [seats * weight / sum(weights) for weight in weights]
    counts = [max(1, int(quota)) for quota in quotas]
    while sum(counts) < seats:
        short = max(range(len(weights)), key=lambda i: (quotas[i] - counts[i], -i))
        counts[short] += 1
    while sum(counts) > seats:
        over = min((i for i in range(len(weights)) if counts[i] > 1), key=lambda i: quotas[i] - counts[i])
        counts[over] -= 1
    return counts

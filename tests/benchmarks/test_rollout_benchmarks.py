"""Simulated seconds per wall second, with the policy in the loop, and where the rest of the time goes.

One robot that asks alone, as in post-training, and eight that ask together, as in evaluations.
`make benchmarks` prints the table; ``real_time_factor`` and the shares stand in its extra columns (JSON:
``--benchmark-json``). Target: 60x on one core, replanning every 4 steps (DESIGN 9).
"""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sop_bench.episode import Episode
from sop_bench.fleet.lanes import LANES
from sop_bench.lockstep import Lane, run_in_lockstep
from sop_bench.policy.vla import CompactVLA, single_thread
from sop_bench.robot import Robot, make_robot
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.studies.fleet_study import SHIPPED_CHECKPOINT

REQUESTS = [EpisodeRequest("restock/flat-shelf", seed, "test") for seed in range(30_000_000, 30_000_024)]
Simulate = Callable[[list[Robot], CompactVLA], float]
KERNELS = {"mj_step": "physics", "_render": "rendering", "sample": "action head", "see": "encoder"}


@pytest.fixture(scope="module")
def robots():
    with ExitStack() as stack:
        yield [stack.enter_context(make_robot("so101", station_seed=1)) for _ in range(LANES)]


@pytest.fixture(scope="module")
def policy() -> CompactVLA:
    from sop_bench.policy.checkpoint import load_checkpoint

    return load_checkpoint(Path(SHIPPED_CHECKPOINT)).policy


def alone(robots: list[Robot], policy: CompactVLA) -> float:
    """Simulated seconds of the benchmark's episodes, one after the other."""
    with single_thread():
        episodes = [run_episode(robots[0], policy, request) for request in REQUESTS]
    return sum(episode.duration_s for episode in episodes)


def together(robots: list[Robot], policy: CompactVLA) -> float:
    """The same episodes side by side."""
    waiting = iter(REQUESTS)
    lanes = [Lane(lambda robot=robot: robot, waiting) for robot in robots]
    with single_thread():
        results = [finished.result for finished in run_in_lockstep(policy, lanes)]
    return sum(result.duration_s for result in results if isinstance(result, Episode))


@pytest.mark.parametrize("simulate", [alone, together], ids=["alone", "eight together"])
def test_policy_in_the_loop(
    benchmark: Any, robots: list[Robot], policy: CompactVLA, simulate: Simulate
) -> None:
    simulated_s = benchmark.pedantic(simulate, (robots, policy), rounds=5, warmup_rounds=1)
    benchmark.extra_info["real_time_factor"] = round(simulated_s / benchmark.stats["median"], 1)
    shares = _shares(simulate, robots, policy)
    benchmark.extra_info |= shares
    print(f"\n{benchmark.extra_info['real_time_factor']}x real time; shares of the time: {shares}")
    assert simulated_s > 0


def _shares(simulate: Simulate, robots: list[Robot], policy: CompactVLA) -> dict[str, float]:
    """Shares of wall time by kernel, from a profiled pass; the profiler's own cost counts as other."""
    profile = cProfile.Profile()
    profile.runcall(simulate, robots, policy)
    stats = pstats.Stats(profile)
    total: float = stats.total_tt  # pyright: ignore[reportAttributeAccessIssue]
    shares = dict.fromkeys(KERNELS.values(), 0.0)
    for (_, _, name), row in stats.stats.items():  # pyright: ignore[reportAttributeAccessIssue]
        for kernel, label in KERNELS.items():
            if name == kernel or (name.startswith("<built-in") and kernel in name):
                shares[label] = max(shares[label], row[3] / total)
    shares["other"] = max(0.0, 1 - sum(shares.values()))
    return {label: round(share, 3) for label, share in shares.items()}

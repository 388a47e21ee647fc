"""Several observations are answered at once, each as if it were the only one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_policy import a_policy, an_observation

from sop_bench.errors import ContractError
from sop_bench.policy.checkpoint import load_checkpoint
from sop_bench.policy.vla import CompactVLA
from sop_bench.robot import Observation
from sop_bench.studies.fleet_study import SHIPPED_CHECKPOINT

SEEDS = range(9)


def rngs(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(0)] * count


def answer(policy: CompactVLA, observations: list[Observation]) -> np.ndarray:
    return policy.act_together(observations, rngs(len(observations)))


def seen_by(policy: CompactVLA, seed: int) -> Observation:
    """Noise, in the shapes of a policy."""
    rng, config = np.random.default_rng(seed), policy.config
    return Observation(
        images={
            camera.name: rng.integers(256, size=(camera.height, camera.width, 3), dtype=np.uint8)
            for camera in config.cameras
        },
        proprioception=rng.normal(size=config.state_dim).astype(np.float32),
        commanded_rad=rng.normal(size=config.action_dim).astype(np.float32),
        instruction="put the pink lined jar in the right slot",
    )


@pytest.fixture(scope="module", params=["small", "shipped"])
def case(request: pytest.FixtureRequest) -> tuple[CompactVLA, list[Observation]]:
    if request.param == "small":
        return a_policy(), [an_observation(seed) for seed in SEEDS]
    policy = load_checkpoint(Path(SHIPPED_CHECKPOINT)).policy
    return policy, [seen_by(policy, seed) for seed in SEEDS]


@given(order=st.permutations(SEEDS), count=st.integers(1, len(SEEDS)))
@settings(max_examples=15, deadline=None)
def test_an_answer_has_the_same_bits_in_any_company_and_place(
    case: tuple[CompactVLA, list[Observation]], order: list[int], count: int
):
    policy, observations = case
    together = answer(policy, [observations[seed] for seed in order[:count]])
    for seed, chunk_rad in zip(order, together, strict=False):
        np.testing.assert_array_equal(chunk_rad, answer(policy, [observations[seed]])[0])


def test_an_answer_is_that_of_one_alone_but_for_rounding(case: tuple[CompactVLA, list[Observation]]):
    policy, observations = case
    together = answer(policy, observations)
    assert together.shape == (len(SEEDS), policy.chunk_steps, policy.config.action_dim)
    for seen, chunk_rad in zip(observations, together, strict=True):
        np.testing.assert_allclose(chunk_rad, policy.act(seen, rngs(1)[0]), atol=2e-5)


@pytest.mark.parametrize(
    "spoil", [lambda images: images.clear(), lambda images: images.update(front=images["front"][1:])]
)
def test_one_bad_observation_among_good_ones_is_refused(spoil: Callable[[dict[str, np.ndarray]], None]):
    bad = an_observation(1)
    assert isinstance(bad.images, dict)
    spoil(bad.images)
    with pytest.raises(ContractError, match="'front'"):
        answer(a_policy(), [an_observation(0), bad])

"""The rollout keeps what the robot did, who chose it, and refuses what cannot be executed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sop_bench.episode import Source
from sop_bench.errors import ConfigurationError, ContractError
from sop_bench.policy.base import PolicyVersion, RandomPolicy
from sop_bench.policy.wrappers import WrappedPolicy
from sop_bench.robot import Observation, Outcome, Robot, make_robot
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.safety import SafetyGate
from sop_bench.supervision.base import Decision

TASK = "restock/flat-shelf"


@pytest.fixture(scope="module")
def robot() -> Iterator[Robot]:
    with make_robot("so101", station_seed=0) as robot:
        yield robot


class WitnessPolicy:
    """Holds still, and remembers when it was asked and what it was told."""

    version = PolicyVersion(7, "witness")
    cameras = ("front",)
    chunk_steps = 4

    def __init__(self, value: float | None = None):
        self.instructions: list[str] = []
        self._value = value

    def act(self, observation: Observation, rng: np.random.Generator) -> np.ndarray:
        del rng
        self.instructions.append(observation.instruction)
        chunk = np.tile(observation.commanded_rad, (self.chunk_steps, 1))
        return chunk if self._value is None else np.full_like(chunk, self._value)


class TakeoverAt:
    """Takes control for some steps of the episode."""

    source = Source.HUMAN

    def __init__(self, start: int, stop: int):
        self._start, self._stop, self._step = start, stop, -1

    def begin(self, robot: Robot, task: str, rng: np.random.Generator) -> None:
        del robot, task, rng

    def decide(self, observation: Observation, elapsed_s: float) -> Decision:
        self._step += 1
        assert elapsed_s == pytest.approx(self._step / 10)
        if self._start <= self._step < self._stop:
            takeover = "test" if self._step == self._start else ""
            return Decision(observation.commanded_rad, takeover, attending=True)
        return Decision()


def test_the_policy_is_asked_again_every_execute_steps(robot: Robot) -> None:
    policy = WitnessPolicy()
    episode = run_episode(robot, policy, EpisodeRequest(TASK, 0, execute_steps=3))
    assert episode.header.outcome is Outcome.TIMEOUT
    assert len(policy.instructions) == -(-len(episode.frames) // 3)


class HastyPolicy(WitnessPolicy):
    def execute_steps(self, instruction: str) -> int:
        return 2 if instruction != "fold the cloth" else 3


def test_a_policy_may_say_itself_how_often_it_is_asked_even_if_it_is_wrapped(robot: Robot) -> None:
    bare, wrapped = HastyPolicy(), HastyPolicy()
    for witness, policy in ((bare, bare), (wrapped, WrappedPolicy(wrapped))):
        episode = run_episode(robot, policy, EpisodeRequest(TASK, 0))
        assert len(witness.instructions) == -(-len(episode.frames) // 2)


def test_after_a_hand_back_the_policy_plans_anew(robot: Robot) -> None:
    policy = WitnessPolicy()
    episode = run_episode(robot, policy, EpisodeRequest(TASK, 0), TakeoverAt(1, 3))
    remaining = len(episode.frames) - 3
    assert len(policy.instructions) == 1 + -(-remaining // 4)


def test_every_frame_says_who_chose_it_and_which_version_flew(robot: Robot) -> None:
    episode = run_episode(robot, WitnessPolicy(), EpisodeRequest(TASK, 0, started_s=100.0), TakeoverAt(2, 5))
    frames = episode.frames
    np.testing.assert_array_equal(frames.source[:6], [0, 0, 2, 2, 2, 0])
    np.testing.assert_array_equal(frames.segment_id[:6], [0, 0, 1, 1, 1, 2])
    assert (frames.policy_version == 7).all()
    np.testing.assert_allclose(frames.monotonic_s, 100.0 + np.arange(len(frames)) / 10)
    assert episode.header.takeovers == ("test",)
    assert episode.header.intervention_s == pytest.approx(0.3)


def test_requested_and_executed_actions_are_both_kept(robot: Robot) -> None:
    episode = run_episode(robot, WitnessPolicy(value=9.0), EpisodeRequest(TASK, 0))
    assert (episode.frames.requested_rad == 9.0).all()
    assert (episode.frames.executed_rad <= robot.spec.joint_upper_rad + 1e-6).all()


def test_a_non_finite_action_stops_the_episode_with_the_joint_named(robot: Robot) -> None:
    with pytest.raises(ContractError, match="left_shoulder_pan"):
        run_episode(robot, WitnessPolicy(value=np.nan), EpisodeRequest(TASK, 0))


def test_pixels_are_recorded_only_when_asked_for(robot: Robot) -> None:
    bare = run_episode(robot, WitnessPolicy(), EpisodeRequest(TASK, 0))
    full = run_episode(
        robot, WitnessPolicy(), EpisodeRequest(TASK, 0, pixels="all", cameras=("wrist_right",))
    )
    assert not bare.images_png
    assert len(full.images_png["wrist_right"]) == len(full.frames)
    assert full.image("wrist_right", 0).shape == (64, 64, 3)


def test_pixels_of_helped_frames_alone_can_be_recorded(robot: Robot) -> None:
    request = EpisodeRequest(TASK, 0, pixels="helped")
    episode = run_episode(robot, WitnessPolicy(), request, TakeoverAt(2, 5))
    recorded = [png is not None for png in episode.images_png["front"]]
    assert recorded == [2 <= step < 5 for step in range(len(recorded))]


def test_a_policy_can_be_told_something_else(robot: Robot) -> None:
    policy = WitnessPolicy()
    episode = run_episode(robot, policy, EpisodeRequest(TASK, 0, told="sing a song"))
    assert set(policy.instructions) == {"sing a song"}
    assert episode.header.instruction.startswith("put the ")


def test_equal_requests_give_equal_episodes_and_other_seeds_others(robot: Robot) -> None:
    policy = RandomPolicy(robot.spec)
    request = EpisodeRequest(TASK, 3, rng_seed=5)
    first, second = (run_episode(robot, policy, request) for _ in range(2))
    other = run_episode(robot, policy, EpisodeRequest(TASK, 3, rng_seed=6))
    np.testing.assert_array_equal(first.frames.executed_rad, second.frames.executed_rad)
    assert not np.array_equal(first.frames.requested_rad[:10], other.frames.requested_rad[:10])


def test_an_unknown_task_is_refused(robot: Robot) -> None:
    with pytest.raises(ConfigurationError, match=TASK):
        run_episode(robot, WitnessPolicy(), EpisodeRequest("restock/flat-shell", 0))


@given(st.lists(st.floats(-10, 10, width=32), min_size=12, max_size=12), st.integers(0, 2**32 - 1))
def test_the_gate_never_lets_a_joint_out_of_its_limits_or_jump(
    robot: Robot, values: list[float], seed: int
) -> None:
    spec = robot.spec
    commanded = (
        np.random.default_rng(seed).uniform(spec.joint_lower_rad, spec.joint_upper_rad).astype(np.float32)
    )
    action = SafetyGate(spec)(np.array(values), commanded)
    assert (action >= spec.joint_lower_rad).all()
    assert (action <= spec.joint_upper_rad).all()
    assert (np.abs(action - commanded) <= spec.max_step_rad + 1e-5).all()

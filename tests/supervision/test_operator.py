"""The scripted operator reacts late, stays until it is safe, and is paid for both."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from sop_bench.episode import Source
from sop_bench.errors import ConfigurationError
from sop_bench.policy.base import HoldPolicy
from sop_bench.robot import Assessment, Observation, Robot, make_robot
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.supervision.base import Decision
from sop_bench.supervision.operator import OperatorConfig, ScriptedOperator, Tremor

FINE = Assessment(hazard="", safe=True, recoverable=True, progress=0.0)
HAZARD = Assessment(hazard="misaligned", safe=False, recoverable=True, progress=0.0)
LOST = Assessment(hazard="dropped", safe=False, recoverable=False, progress=0.0)


@dataclass
class PuppetExpert:
    """An expert whose judgement the test writes."""

    judgement: Assessment = FINE
    action: np.ndarray = field(default_factory=lambda: np.full(2, 0.25, np.float32))

    def act(self) -> np.ndarray:
        return self.action

    def assess(self) -> Assessment:
        return self.judgement


class Watch:
    """Steps an operator through judgements and collects its decisions."""

    def __init__(self, **config: Any):
        defaults: dict[str, Any] = {"reaction_s": 0.2, "reaction_jitter_s": 0.0, "tremor_rad": 0.0}
        self.operator = ScriptedOperator(OperatorConfig(**(defaults | config)))
        self.expert = PuppetExpert()
        spec = SimpleNamespace(
            name="puppet", control_hz=10.0, time_limit_s={"reach": 10.0}, joint_names=("joint", "gripper")
        )
        robot = cast(Robot, SimpleNamespace(spec=spec, expert=lambda: self.expert))
        self.operator.begin(robot, "reach", np.random.default_rng(0))
        self.observation = cast(Observation, SimpleNamespace(commanded_rad=np.zeros(2, np.float32)))
        self.step = 0

    def see(self, judgement: Assessment, steps: int = 1) -> list[Decision]:
        self.expert.judgement = judgement
        decisions = []
        for _ in range(steps):
            decisions.append(self.operator.decide(self.observation, self.step / 10.0))
            self.step += 1
        return decisions


def in_control(decisions: list[Decision]) -> list[bool]:
    return [decision.action_rad is not None for decision in decisions]


def test_it_leaves_a_safe_policy_alone() -> None:
    assert not any(in_control(Watch().see(FINE, 10)))


def test_it_takes_over_after_its_reaction_delay_and_names_the_hazard() -> None:
    decisions = Watch(reaction_s=0.3).see(HAZARD, 5)
    assert in_control(decisions) == [False, False, False, True, True]
    assert [decision.takeover for decision in decisions] == ["", "", "", "misaligned", ""]


def test_its_attention_is_charged_while_it_reacts_and_while_it_acts() -> None:
    assert all(decision.attending for decision in Watch().see(HAZARD, 5))
    assert not any(decision.attending for decision in Watch().see(FINE, 5))


def test_a_hazard_that_passes_within_the_reaction_time_is_no_takeover() -> None:
    watch = Watch(reaction_s=0.3)
    decisions = watch.see(HAZARD, 2) + watch.see(FINE, 5)
    assert not any(in_control(decisions))


def test_it_keeps_control_until_the_state_has_been_safe_for_a_while() -> None:
    watch = Watch(reaction_s=0.0, minimum_s=0.0, settle_s=0.3)
    watch.see(HAZARD, 3)
    assert in_control(watch.see(FINE, 6)) == [True, True, True, False, False, False]


def test_it_keeps_control_for_its_shortest_time_even_if_the_state_is_safe_at_once() -> None:
    watch = Watch(reaction_s=0.0, minimum_s=0.8, settle_s=0.0, stall_s=100.0)
    watch.see(HAZARD, 1)
    assert sum(in_control(watch.see(FINE, 20))) == 7


def test_no_progress_is_a_hazard_although_nothing_looks_wrong() -> None:
    decisions = Watch(stall_s=0.5, reaction_s=0.0).see(FINE, 10)
    assert decisions[6].takeover == "no progress"


def test_creeping_is_no_progress():
    watch = Watch(stall_s=0.5, reaction_s=0.0, stall_progress=0.01)
    steady = [watch.see(replace(FINE, progress=0.02 * step))[0] for step in range(10)]
    creeping = [watch.see(replace(FINE, progress=0.2 + 0.001 * step))[0] for step in range(10)]
    assert not any(in_control(steady))
    assert creeping[-1].action_rad is not None
    assert any(decision.takeover == "no progress" for decision in creeping)


def test_when_time_is_almost_out_it_takes_over_and_finishes_itself() -> None:
    watch = Watch(stall_s=100.0, late_s=3.0, reaction_s=0.0, minimum_s=0.0, settle_s=0.0)
    decisions = watch.see(FINE, 90)
    assert not any(in_control(decisions[:71]))
    assert decisions[71].takeover == "late"
    assert all(in_control(decisions[71:]))


def test_it_does_not_waste_time_on_what_cannot_be_saved() -> None:
    assert not any(decision.attending for decision in Watch().see(LOST, 10))


def test_a_late_gate_ignores_what_the_expert_foresees() -> None:
    assert not any(in_control(Watch(predictive=False, stall_s=10.0).see(HAZARD, 10)))


def test_a_robot_without_an_expert_is_refused() -> None:
    robot = cast(Robot, SimpleNamespace(spec=SimpleNamespace(name="bare")))
    with pytest.raises(ConfigurationError, match="no scripted expert"):
        ScriptedOperator().begin(robot, "reach", np.random.default_rng(0))


def test_the_hand_trembles_but_never_the_gripper() -> None:
    tremor = Tremor(np.array([False, True]), 0.01, np.random.default_rng(0))
    values = np.stack([tremor(np.ones(2)) for _ in range(4000)])
    assert values[:, 0].std() == pytest.approx(0.01, rel=0.15)
    assert (values[:, 1] == 0).all()


def test_a_joint_that_rests_does_not_tremble() -> None:
    tremor = Tremor(np.array([False, False]), 0.01, np.random.default_rng(0))
    values = np.stack([tremor(np.array([0.1, 0.0])) for _ in range(10)])
    assert (values[:, 0] != 0).all()
    assert (values[:, 1] == 0).all()


def test_it_saves_a_policy_that_does_nothing() -> None:
    with make_robot("so101", station_seed=0) as robot:
        episodes = [
            run_episode(robot, HoldPolicy(), EpisodeRequest("restock/flat-shelf", seed), ScriptedOperator())
            for seed in range(4)
        ]
    for episode in episodes:
        assert episode.header.success
        assert not episode.header.autonomous_success
        assert episode.header.operator_s >= episode.header.intervention_s > 0
        assert set(episode.frames.source) == {Source.POLICY, Source.EXPERT}
        # Bumpless: no joint target jumps by more than the robot allows in one step.
        jump = np.abs(np.diff(episode.frames.executed_rad, axis=0))
        assert (jump <= robot.spec.max_step_rad + 1e-5).all()

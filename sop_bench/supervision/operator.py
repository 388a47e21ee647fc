"""The scripted operator: the human of HG-DAgger, played by a robot's reactive expert.

It watches each step, takes over when a named gate fires (an imminent or committed failure, no progress, time
almost out) after a reaction delay, keeps control until the state has been safe again for a while, corrects
imperfectly, and is charged for every second of attention. Hand-over is without a jump in both directions,
because expert and policy both act relative to the joint targets last executed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sop_bench.episode import Source
from sop_bench.errors import ConfigurationError
from sop_bench.robot import Assessment, Expert, HasExpert, Observation, Robot
from sop_bench.supervision.base import Decision

_RESTING_RAD = 1e-3


@dataclass(frozen=True)
class OperatorConfig:
    """How the scripted operator behaves.

    Attributes:
        reaction_s: Mean delay from a hazard appearing to the operator having control.
        reaction_jitter_s: Half width of the uniform jitter of that delay, drawn per episode.
        stall_s: Seconds without progress that count as a hazard.
        stall_progress: What counts as progress, in the units of `Assessment.progress`: a hand that creeps
            towards its goal by millimetres is stuck.
        late_s: Seconds before the time limit from which an unfinished episode counts as a hazard.
        settle_s: The state must have been safe for this long before control is handed back.
        minimum_s: Shortest time in control.
        tremor_rad: Stationary standard deviation of the operator's hand, an AR(0.8) noise on arm joints.
        predictive: React to hazards the expert foresees; if not, only to stall and lateness.
    """

    reaction_s: float = 0.2
    reaction_jitter_s: float = 0.1
    stall_s: float = 0.8
    stall_progress: float = 0.01
    late_s: float = 3.0
    settle_s: float = 0.5
    minimum_s: float = 1.2
    tremor_rad: float = 0.005
    predictive: bool = True

    def build(self) -> ScriptedOperator:
        return ScriptedOperator(self)


class Tremor:
    """AR(1) noise on joint targets, zero on grippers: what makes a scripted hand imperfect.

    Args:
        gripper: (action_dim,) true where the joint is a gripper.
        deviation_rad: Stationary standard deviation.
        memory: Coefficient of the autoregression.
    """

    def __init__(
        self, gripper: NDArray[np.bool_], deviation_rad: float, rng: np.random.Generator, memory: float = 0.8
    ):
        self._scale = np.where(gripper, 0.0, deviation_rad * np.sqrt(1 - memory**2))
        self._memory, self._rng = memory, rng
        self._value = np.zeros(len(gripper))

    def __call__(self, move_rad: NDArray[np.floating]) -> NDArray[np.float64]:
        """The noise of this step, (action_dim,), for a hand that is about to move by `move_rad`."""
        self._value = self._memory * self._value + self._scale * self._rng.standard_normal(len(self._scale))
        return self._value * moving(move_rad)


def moving(move_rad: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(action_dim,) true for joints that are going somewhere: what rests, neither trembles nor is pushed."""
    return np.abs(move_rad) > _RESTING_RAD


def expert_of(robot: Robot) -> Expert:
    """The scripted expert of `robot`; raises `ConfigurationError` if it has none."""
    if not isinstance(robot, HasExpert):
        raise ConfigurationError(
            f"Robot {robot.spec.name!r} has no scripted expert, which a scripted operator needs. "
            f"Use a teleoperator, or no supervisor."
        )
    return robot.expert()


def gripper_joints(robot: Robot) -> NDArray[np.bool_]:
    """(action_dim,) true where the joint is a gripper, by the field's naming convention."""
    return np.array([name.endswith("gripper") for name in robot.spec.joint_names])


class ScriptedOperator:
    """A `Supervisor` that intervenes as a person would, with the robot's scripted expert as its hands."""

    source = Source.EXPERT

    def __init__(self, config: OperatorConfig | None = None):
        self.config = config or OperatorConfig()

    def begin(self, robot: Robot, task: str, rng: np.random.Generator) -> None:
        config, spec = self.config, robot.spec
        self._rng = np.random.default_rng(rng.integers(2**63))
        self._expert = expert_of(robot)
        self._tremor = Tremor(gripper_joints(robot), config.tremor_rad, self._rng)
        self._control_hz = spec.control_hz
        self._reaction_steps = self._steps(
            config.reaction_s + self._rng.uniform(-config.reaction_jitter_s, config.reaction_jitter_s)
        )
        self._late_s = spec.time_limit_s[task] - config.late_s
        self._best_progress, self._last_progress_step = 0.0, 0
        self._step = -1
        self._hazard, self._hazard_step = "", 0
        self._in_control_since: int | None = None
        self._safe_steps = 0

    def _steps(self, seconds: float) -> int:
        return max(0, round(seconds * self._control_hz))

    def decide(self, observation: Observation, elapsed_s: float) -> Decision:
        self._step += 1
        assessment = self._expert.assess()
        if assessment.progress > self._best_progress + self.config.stall_progress:
            self._best_progress, self._last_progress_step = assessment.progress, self._step
        if self._in_control_since is not None:
            if not self._may_hand_back(assessment):
                return Decision(self._correct(observation), attending=True)
            self._in_control_since, self._hazard = None, ""
            self._last_progress_step = self._step
            self._best_progress = assessment.progress
        return self._watch(assessment, observation, elapsed_s)

    def _watch(self, assessment: Assessment, observation: Observation, elapsed_s: float) -> Decision:
        hazard = self._gate(assessment, elapsed_s)
        if not hazard or not assessment.recoverable:
            self._hazard = ""
            return Decision()
        if not self._hazard:
            self._hazard, self._hazard_step = hazard, self._step
        if self._step - self._hazard_step < self._reaction_steps:
            return Decision(attending=True)
        self._in_control_since, self._safe_steps = self._step, 0
        return Decision(self._correct(observation), takeover=self._hazard, attending=True)

    def _gate(self, assessment: Assessment, elapsed_s: float) -> str:
        if self.config.predictive and assessment.hazard:
            return assessment.hazard
        if self._step - self._last_progress_step > self._steps(self.config.stall_s):
            return "no progress"
        if elapsed_s > self._late_s:
            return "late"
        return ""

    def _may_hand_back(self, assessment: Assessment) -> bool:
        assert self._in_control_since is not None
        late = "late" in self._hazard
        self._safe_steps = (
            self._safe_steps + 1 if assessment.safe and not assessment.hazard and not late else 0
        )
        held_long_enough = self._step - self._in_control_since >= self._steps(self.config.minimum_s)
        return held_long_enough and self._safe_steps > self._steps(self.config.settle_s)

    def _correct(self, observation: Observation) -> NDArray[np.float32]:
        action = self._expert.act()
        return (action + self._tremor(action - observation.commanded_rad)).astype(np.float32)

"""The demonstrator: the expert in control of a whole episode, with human variety.

Its speed differs between episodes, its hand trembles, and now and then it is pushed: for a few steps the
targets wander at random, then the expert recovers. Pushed steps are labelled as not its own (source
``POLICY``), so that no algorithm imitates the push, only the recovery.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sop_bench.episode import Source
from sop_bench.policy.base import PolicyVersion
from sop_bench.robot import Observation, Robot
from sop_bench.supervision.base import Decision
from sop_bench.supervision.operator import Tremor, expert_of, gripper_joints, moving


@dataclass(frozen=True)
class DemonstratorConfig:
    """How demonstrations vary.

    Attributes:
        tremor_rad: Standard deviation of the hand's AR(0.8) noise; 0.02 already made worse policies.
        slowest: Speed of the slowest demonstrator, as a fraction of the expert's.
        push_rate_hz: Mean rate of pushes.
        push_steps: Longest push, in control steps.
    """

    tremor_rad: float = 0.008
    slowest: float = 0.7
    push_rate_hz: float = 0.08
    push_steps: int = 5

    def build(self) -> Demonstrator:
        return Demonstrator(self)


class Demonstrator:
    """A `Supervisor` that is in control of every step but the pushes."""

    source = Source.EXPERT

    def __init__(self, config: DemonstratorConfig | None = None):
        self.config = config or DemonstratorConfig()

    def begin(self, robot: Robot, task: str, rng: np.random.Generator) -> None:
        del task
        self._rng = np.random.default_rng(rng.integers(2**63))
        self._expert = expert_of(robot)
        self._gripper = gripper_joints(robot)
        self._tremor = Tremor(self._gripper, self.config.tremor_rad, self._rng)
        self._speed = self._rng.uniform(self.config.slowest, 1.0)
        self._push_probability = self.config.push_rate_hz / robot.spec.control_hz
        self._push_left = 0

    def decide(self, observation: Observation, elapsed_s: float) -> Decision:
        del elapsed_s
        if self._push_left > 0:
            self._push_left -= 1
            return Decision()  # the rollout asks the policy, which is a `PushingPolicy`
        if self._rng.random() < self._push_probability:
            self._push_left = int(self._rng.integers(1, self.config.push_steps + 1)) - 1
            return Decision()
        return Decision(self._act(observation), attending=True)

    def _act(self, observation: Observation) -> NDArray[np.float32]:
        target, commanded = self._expert.act(), observation.commanded_rad
        # A slow person opens and closes the hand as fast as anybody: half-closed grippers hold nothing.
        speed = np.where(self._gripper, 1.0, self._speed)
        return (commanded + speed * (target - commanded) + self._tremor(target - commanded)).astype(
            np.float32
        )


class PushingPolicy:
    """Plays the pushes of a `Demonstrator`: wanders with the joints that the expert is moving.

    An arm that the task does not use is left alone: pushed, it would teach a policy to answer with it.
    """

    version = PolicyVersion(0, "")
    cameras: tuple[str, ...] = ()
    chunk_steps = 1

    def __init__(self, robot: Robot, scale: float = 0.3):
        self._robot, self._stride_rad = robot, scale * robot.spec.max_step_rad

    def act(self, observation: Observation, rng: np.random.Generator) -> NDArray[np.float32]:
        move = rng.uniform(-1, 1, len(self._stride_rad)) * self._stride_rad
        busy = moving(expert_of(self._robot).act() - observation.commanded_rad)
        return (observation.commanded_rad + move * busy).astype(np.float32)[None]

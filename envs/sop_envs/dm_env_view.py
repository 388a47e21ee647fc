"""The tasks as dm_env environments.

    environment = DmEnvView("restock/flat-shelf", seed=0)
    timestep = environment.reset()
    while not timestep.last():
        timestep = environment.step(choose(timestep.observation))

Observations are the images by camera name, ``joint_positions`` (measured, then commanded, rad) and the
``instruction``. Actions are joint-position targets in rad, within the joints' limits. The reward is 1 on
success and else 0; the discount is 0 after success or failure and 1 otherwise, also at the time limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import dm_env
import numpy as np
from dm_env import specs
from numpy.typing import NDArray

from sop_bench.errors import unknown_name
from sop_bench.robot import Observation, Outcome, Split, checked_split
from sop_envs.robots import make_so101
from sop_envs.tasks.registry import TASKS


class DmEnvView(dm_env.Environment):
    """One task at one station.

    Args:
        task: Name of the task, e.g. ``"restock/flat-shelf"``.
        seed: Draws the scenes, one after another.
        station_seed: Draws the station; 0 is nominal.
        split: ``"train"``, or ``"test"`` for instances that training never shows.
        cameras: Those that are observed, by default the task's; only these are rendered.

    Raises:
        ConfigurationError: Unknown task, camera or split.
    """

    def __init__(
        self,
        task: str,
        seed: int = 0,
        station_seed: int = 0,
        split: Split = "train",
        cameras: Sequence[str] | None = None,
    ) -> None:
        if task not in TASKS:
            raise unknown_name("task", task, TASKS)
        self.robot = make_so101(station_seed)
        self._task = task
        self._split: Split = checked_split(split)
        self._rng = np.random.default_rng(seed)
        spec = self.robot.spec
        self._cameras = [spec.camera(name) for name in (TASKS[task].cameras if cameras is None else cameras)]
        self._over = True

    def reset(self) -> dm_env.TimeStep:
        instance = int(self._rng.integers(2**31))
        self._over = False
        return dm_env.restart(self._observed(self.robot.reset(self._task, instance, split=self._split)))

    def step(self, action: NDArray[np.floating]) -> dm_env.TimeStep:
        if self._over:
            return self.reset()
        step = self.robot.step(action)
        observation, reward = self._observed(step.observation), float(step.outcome is Outcome.SUCCESS)
        self._over = step.outcome is not Outcome.RUNNING
        if not self._over:
            return dm_env.transition(reward, observation)
        if step.outcome is Outcome.TIMEOUT:
            return dm_env.truncation(reward, observation)
        return dm_env.termination(reward, observation)

    def observation_spec(self) -> dict[str, specs.Array]:  # pyright: ignore[reportIncompatibleMethodOverride]
        spec: dict[str, specs.Array] = {
            camera.name: specs.BoundedArray(
                (camera.height, camera.width, 3), np.uint8, minimum=0, maximum=255, name=camera.name
            )
            for camera in self._cameras
        }
        size = len(self.robot.spec.proprioception_names)
        # Limits of hinges are soft, so the measured position may be past them; never by a turn.
        spec["joint_positions"] = specs.BoundedArray(
            (size,), np.float32, minimum=-2 * math.pi, maximum=2 * math.pi, name="joint_positions"
        )
        spec["instruction"] = specs.StringArray((), name="instruction")
        return spec

    def action_spec(self) -> specs.BoundedArray:  # pyright: ignore[reportIncompatibleMethodOverride]
        spec = self.robot.spec
        return specs.BoundedArray(
            (spec.action_dim,),
            np.float32,
            minimum=spec.joint_lower_rad,
            maximum=spec.joint_upper_rad,
            name="\t".join(spec.joint_names),  # as dm_control joins them
        )

    def reward_spec(self) -> specs.BoundedArray:
        return specs.BoundedArray((), float, minimum=0.0, maximum=1.0, name="reward")

    def close(self) -> None:
        self.robot.close()

    def _observed(self, observation: Observation) -> dict[str, Any]:
        return {
            **{camera.name: observation.images[camera.name] for camera in self._cameras},
            "joint_positions": observation.proprioception,
            "instruction": np.array(observation.instruction, dtype=object),
        }

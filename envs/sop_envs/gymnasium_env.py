"""The tasks as Gymnasium environments, for learners that bring their own loop.

Observations, as LeRobot's environments name them::

    {"pixels": {"front": (80, 128, 3) uint8, ...},    # the cameras the task is seen through
     "agent_pos": (24,) float32}                      # measured, then commanded joint positions, rad

An action is the twelve joint-position targets, each scaled so that [-1, 1] spans the joint's limits;
`SopEnv.to_action` and `SopEnv.to_targets_rad` convert. Targets further from the last ones than
`RobotSpec.max_step_rad` are approached at that speed.

The reward is 1 on success and else 0. An episode is terminated by success or failure, and truncated at the
task's time limit. `info` holds ``is_success``, ``instruction`` (the task in words), ``instance`` (the scene's
number), ``outcome`` and ``reason``.

Environments in processes of their own (``gymnasium.make_vec(..., vectorization_mode="async")``) need
``vector_kwargs={"context": "spawn"}`` once this process has rendered: OpenGL does not survive a fork.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sop_bench.errors import unknown_name
from sop_bench.robot import Observation, Outcome, Split, checked_split
from sop_envs.robots import make_so101
from sop_envs.simulated import CONTROL_HZ
from sop_envs.tasks.registry import TASKS

_OPTIONS = ("instance", "split")
_PICTURE = (360, 480)


class SopEnv(gymnasium.Env[dict[str, Any], NDArray[np.float32]]):
    """One task at one station.

    Args:
        task: Name of the task, e.g. ``"restock/flat-shelf"``.
        station_seed: Draws the station; 0 is nominal.
        split: ``"train"``, or ``"test"`` for instances that training never shows.
        cameras: Those that are observed, by default the task's; none makes an observation without
            ``"pixels"``, for which nothing is rendered.
        render_mode: ``"rgb_array"`` lets `render` return a picture of the desk for people.

    Raises:
        ConfigurationError: Unknown task, camera or split.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(CONTROL_HZ)}  # noqa: RUF012

    def __init__(
        self,
        task: str,
        station_seed: int = 0,
        split: Split = "train",
        cameras: Sequence[str] | None = None,
        render_mode: str | None = None,
    ) -> None:
        if task not in TASKS:
            raise unknown_name("task", task, TASKS)
        self.task, self.split, self.render_mode = task, checked_split(split), render_mode
        self.robot = make_so101(station_seed)
        spec = self.robot.spec
        self._cameras = [spec.camera(name) for name in (TASKS[task].cameras if cameras is None else cameras)]
        self._middle_rad = (spec.joint_upper_rad + spec.joint_lower_rad) / 2
        self._half_range_rad = (spec.joint_upper_rad - spec.joint_lower_rad) / 2
        self._max_episode_steps = round(spec.time_limit_s[task] * spec.control_hz)  # LeRobot asks for it
        self._instruction = ""
        observed: dict[str, spaces.Space[Any]] = {
            # Limits of hinges are soft, so the measured position may be past them; never by a turn.
            "agent_pos": spaces.Box(-2 * math.pi, 2 * math.pi, (len(spec.proprioception_names),), np.float32)
        }
        if self._cameras:
            images: dict[str, spaces.Space[Any]] = {
                c.name: spaces.Box(0, 255, (c.height, c.width, 3), np.uint8) for c in self._cameras
            }
            observed["pixels"] = spaces.Dict(images)
        self.observation_space = spaces.Dict(observed)
        self.action_space = spaces.Box(-1.0, 1.0, (spec.action_dim,), np.float32)

    @property
    def task_description(self) -> str:
        """The running episode's instruction, under the name by which LeRobot asks for it."""
        return self._instruction

    def to_targets_rad(self, action: NDArray[np.floating]) -> NDArray[np.float32]:
        """Joint-position targets, rad, of an action in [-1, 1], both (action_dim,)."""
        return (self._middle_rad + self._half_range_rad * action).astype(np.float32)

    def to_action(self, targets_rad: NDArray[np.floating]) -> NDArray[np.float32]:
        """The action that asks for joint-position targets, rad; the inverse of `to_targets_rad`."""
        return ((targets_rad - self._middle_rad) / self._half_range_rad).clip(-1, 1).astype(np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A new scene: drawn after `seed`, or the one numbered ``options["instance"]``, as in records.

        ``options["split"]`` replaces the environment's split for this episode.
        """
        super().reset(seed=seed)
        options = options or {}
        for name in options:
            if name not in _OPTIONS:
                raise unknown_name("reset option", name, _OPTIONS)
        instance = int(options.get("instance", self.np_random.integers(2**31)))
        split = checked_split(options.get("split", self.split))
        observation = self.robot.reset(self.task, instance, split=split)
        self._instruction, self._instance = observation.instruction, instance
        return self._observed(observation), self._info(Outcome.RUNNING, "")

    def step(self, action: NDArray[np.float32]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Move for one control step of 0.1 s."""
        step = self.robot.step(self.to_targets_rad(action))
        success, failure = step.outcome is Outcome.SUCCESS, step.outcome is Outcome.FAILURE
        info = self._info(step.outcome, step.reason)
        timeout = step.outcome is Outcome.TIMEOUT
        return self._observed(step.observation), float(success), success or failure, timeout, info

    def render(self) -> NDArray[np.uint8] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The desk as people see it, (360, 480, 3), or ``None`` without a render mode."""
        return self.robot.render("viewer", *_PICTURE) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        self.robot.close()

    def _observed(self, observation: Observation) -> dict[str, Any]:
        observed: dict[str, Any] = {"agent_pos": observation.proprioception}
        if self._cameras:
            observed["pixels"] = {camera.name: observation.images[camera.name] for camera in self._cameras}
        return observed

    def _info(self, outcome: Outcome, reason: str) -> dict[str, Any]:
        return {
            "is_success": outcome is Outcome.SUCCESS,
            "instruction": self._instruction,
            "instance": self._instance,
            "outcome": str(outcome),
            "reason": reason,
        }

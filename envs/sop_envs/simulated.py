"""The bimanual SO-101 in MuJoCo, behind the `Robot` interface."""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import zlib
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import ConfigurationError, ContractError, RobotFaultError, unknown_name
from sop_bench.health import Bound, Health
from sop_bench.robot import (
    CameraSpec,
    Expert,
    LabelledScene,
    Observation,
    Outcome,
    RobotSpec,
    Split,
    Step,
    TaskCard,
    Window,
    allowed_action,
)
from sop_envs.health import BOUNDS, LOOK_EVERY, HealthProbe, diverged
from sop_envs.rendering import LazyImages, Renderer
from sop_envs.so101 import JOINT_NAMES, MAX_STEP_RAD, joint_limits_rad
from sop_envs.station import Station
from sop_envs.tasks.task import HasCard, HasGoals, Situation, Task
from sop_envs.workcell import PHYSICS_STEP_S

CONTROL_HZ = 10.0
PHYSICS_STEPS = round(1 / (CONTROL_HZ * PHYSICS_STEP_S))
CAMERAS = (
    CameraSpec("front", 80, 128),
    CameraSpec("wrist_left", 64, 64),
    CameraSpec("wrist_right", 64, 64),
)
_LARGEST_IMAGE = (720, 1280)  # what `render` may be asked for; image time does not depend on it
_JOINTS = len(JOINT_NAMES)


class SimulatedSo101:
    """Two arms at a desk; implements `Robot`, `HasExpert`, `HasLabels`, `HasLabelledScenes` and `HasHealth`.

    The model is compiled anew at each reset (about 2 ms), so nothing of an earlier episode, not even the
    solver's warm start, can reach the next one.
    """

    def __init__(self, station: Station, tasks: Mapping[str, Task]) -> None:
        self.station = station
        self._tasks = dict(tasks)
        lower, upper = joint_limits_rad()
        versions = {f"task_version.{name}": task.version for name, task in self._tasks.items()}
        self._spec = RobotSpec(
            name="so101",
            station={**station.record(), **versions},
            control_hz=CONTROL_HZ,
            joint_names=JOINT_NAMES,
            joint_lower_rad=lower,
            joint_upper_rad=upper,
            max_step_rad=np.array(MAX_STEP_RAD * 2, np.float32),
            proprioception_names=(
                *(f"{name}.position_rad" for name in JOINT_NAMES),
                *(f"{name}.command_rad" for name in JOINT_NAMES),
            ),
            cameras=CAMERAS,
            tasks=tuple(self._tasks),
            time_limit_s={name: task.time_limit_s for name, task in self._tasks.items()},
            seedable=True,
            resets_itself=True,
            real=False,
        )
        self._latency_steps = round(station.servo.latency_s / PHYSICS_STEP_S)
        self._renderer = Renderer(*_LARGEST_IMAGE)
        self._situation: Situation | None = None
        self._task: Task | None = None
        self._outcome = Outcome.RUNNING
        self._steps = 0
        self._watching = False
        self._probe: HealthProbe | None = None
        self._moment = 0  # counts every change of state: an image belongs to one moment

    @property
    def spec(self) -> RobotSpec:
        return self._spec

    @property
    def situation(self) -> Situation:
        """The running episode's privileged side; raises `ContractError` before the first reset."""
        if self._situation is None:
            raise ContractError("The robot has no episode yet. Call reset(task, seed) first.")
        return self._situation

    def reset(self, task: str, seed: int, *, split: Split = "train") -> Observation:
        if task not in self._tasks:
            raise unknown_name("task", task, self._tasks)
        self._task = self._tasks[task]
        # crc32, not hash(): the same in every process.
        rng = np.random.default_rng([zlib.crc32(task.encode()), int(split == "test"), seed])
        self._situation = self._task.begin(self.station, rng, split)
        self._outcome, self._steps = Outcome.RUNNING, 0
        self._probe = HealthProbe(self._situation.model) if self._watching else None
        self._moment += 1
        self._situation.measure()
        return self._observe(self._situation)

    def step(self, action_rad: NDArray[np.floating]) -> Step:
        situation, data = self.situation, self.situation.data
        commanded = data.ctrl.astype(np.float32)
        executed = allowed_action(self._spec, action_rad, commanded)
        if self._outcome is not Outcome.RUNNING:
            raise ContractError(
                f"The episode is over ({self._outcome.value}). Call reset before the next step."
            )
        self._wake(executed != commanded)
        if self._latency_steps:
            self._advance(situation, self._latency_steps)
        data.ctrl[:] = executed
        self._advance(situation, PHYSICS_STEPS - self._latency_steps)
        self._steps += 1
        self._moment += 1
        if cause := diverged(data):
            raise RobotFaultError(f"The simulation diverged ({cause}). Reset, and report the seed.")
        situation.measure()
        self._outcome, reason = self._judge(situation)
        return Step(self._observe(situation), executed, self._outcome, reason)

    def _advance(self, situation: Situation, steps: int) -> None:
        if self._probe is None:
            situation.advance(steps)
            return
        for done in range(0, steps, LOOK_EVERY):
            situation.advance(min(LOOK_EVERY, steps - done))
            self._probe.look(situation.data, self._steps / CONTROL_HZ)

    def _wake(self, changed: NDArray[np.bool_]) -> None:
        """Rouse the arms whose targets changed: MuJoCo lets a parked arm sleep and does not look at ctrl."""
        velocity = self.situation.data.qvel
        for first in range(0, _JOINTS, _JOINTS // 2):
            if velocity[first] == 0.0 and changed[first : first + _JOINTS // 2].any():
                velocity[first] = 1e-9

    def _judge(self, situation: Situation) -> tuple[Outcome, str]:
        outcome, reason = situation.outcome()
        assert self._task is not None
        if outcome is Outcome.RUNNING and self._steps >= round(self._task.time_limit_s * CONTROL_HZ):
            return Outcome.TIMEOUT, "time is up"
        return outcome, reason

    def set_goal(self, item: int, slot: int) -> Observation:
        """Ask for another product or place in the same scene: the same picture, another instruction.

        Raises:
            ConfigurationError: The running task has one goal only, or the scene has no such item or slot.
        """
        situation = self.situation
        if not isinstance(situation, HasGoals):
            raise ConfigurationError(
                f"The running task asks {situation.instruction!r} and nothing else; allowed: tasks with a "
                f"choice of goals, such as restock/flat-shelf. Reset with one of those."
            )
        situation.set_goal(item, slot)
        return self._observe(situation)

    def expert(self) -> Expert:
        return self.situation.expert()

    def labels(self) -> Mapping[str, NDArray[np.float32]]:
        return self.situation.labels()

    def labelled_scene(self, task: str, rng: np.random.Generator, *, split: Split = "train") -> LabelledScene:
        if task not in self._tasks:
            raise unknown_name("task", task, self._tasks)
        still = self._tasks[task].still(self.station, rng, split)
        observation = self._observe(still, always_current=True)
        for name in self._tasks[task].cameras:
            observation.images[name]
        return LabelledScene(observation, still.labels())

    def task_cards(self) -> Mapping[str, TaskCard]:
        return {name: task.card for name, task in self._tasks.items() if isinstance(task, HasCard)}

    def health_bounds(self) -> Mapping[str, Bound]:
        return BOUNDS

    def watch_health(self, watching: bool) -> None:
        self._watching = watching

    def health(self) -> Health:
        if self._probe is None:
            raise ContractError(
                "Nobody watched the health of this episode. Call watch_health(True), and reset."
            )
        return self._probe.health()

    def open_window(self) -> Window:
        from sop_envs.window import open_window  # needs GLFW, which only people with a display have

        situation = self.situation
        return open_window(situation.model, situation.data)

    def render(self, camera: str = "viewer", height: int = 360, width: int = 480) -> NDArray[np.uint8]:
        """A picture for people, of any size up to 720 x 1280; ``"viewer"`` sees the whole desk."""
        situation = self.situation
        return self._renderer.render(situation.model, situation.data, camera, height, width, backdrop=True)

    def close(self) -> None:
        self._renderer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _observe(self, situation: Situation, always_current: bool = False) -> Observation:
        moment, data = self._moment, situation.data
        commanded = data.ctrl.astype(np.float32)
        proprioception = np.concatenate([data.qpos[:_JOINTS].astype(np.float32), commanded])

        def render(camera: CameraSpec) -> NDArray[np.uint8]:
            return self._renderer.render(situation.model, data, camera.name, camera.height, camera.width)

        images = LazyImages(CAMERAS, render, lambda: always_current or moment == self._moment)
        return Observation(images, proprioception, commanded, situation.instruction)

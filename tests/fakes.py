"""A robot, demonstrations and a policy so small that whole studies take seconds; no simulator is needed.

The robot has two joints and is to move both onto a target. Its proprioception gives the target away, and its
camera shows it as a dot, so that the policy learns the task in a hundred steps.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from sop_bench.episode import load_episode, save_episode
from sop_bench.errors import ContractError, RobotFaultError, unknown_name
from sop_bench.policy.base import HoldPolicy
from sop_bench.policy.batch import TrainingBatch
from sop_bench.policy.checkpoint import save_checkpoint
from sop_bench.policy.chunks import chunk_targets, supervised_steps
from sop_bench.policy.config import NetworkConfig, PolicyConfig
from sop_bench.policy.tokenizer import Tokenizer
from sop_bench.policy.vla import CompactVLA, single_thread
from sop_bench.robot import (
    Assessment,
    CameraSpec,
    Observation,
    Outcome,
    RobotSpec,
    Split,
    Step,
    checked_action,
)
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.supervision.demonstrator import DemonstratorConfig
from sop_bench.supervision.operator import OperatorConfig

TASKS = ("reach/near", "reach/far")
OPERATOR = OperatorConfig(stall_s=0.5, late_s=1.0, minimum_s=0.3, settle_s=0.1, tremor_rad=0.002)

_CONTROL_HZ = 10.0
_STRIDE_RAD = 0.08
_TOLERANCE_RAD = 0.1
_CAMERA = CameraSpec("front", 16, 16)


class ReachRobot:
    """See the module. Stations differ in their slack: how far the joints stay behind the targets.

    A station seed of 666 is a broken one: every episode ends in a fault after five steps.
    """

    def __init__(self, station_seed: int):
        self._broken = station_seed == 666
        slack = float(np.random.default_rng(station_seed).uniform(0.0, 0.2))
        self.spec = RobotSpec(
            name="reach",
            station={"slack": slack},
            control_hz=_CONTROL_HZ,
            joint_names=("shoulder", "elbow"),
            joint_lower_rad=np.full(2, -2, np.float32),
            joint_upper_rad=np.full(2, 2, np.float32),
            max_step_rad=np.full(2, _STRIDE_RAD, np.float32),
            proprioception_names=("shoulder", "elbow", "target_shoulder", "target_elbow"),
            cameras=(_CAMERA,),
            tasks=TASKS,
            time_limit_s=dict.fromkeys(TASKS, 4.0),
            seedable=True,
            resets_itself=True,
            real=False,
        )
        self._slack = slack
        self._outcome = Outcome.SUCCESS  # nothing to step before the first reset

    def reset(self, task: str, seed: int, *, split: Split = "train") -> Observation:
        if task not in TASKS:
            raise unknown_name("task", task, TASKS)
        rng = np.random.default_rng([seed, TASKS.index(task), split == "test"])
        reach = 0.8 if task == "reach/near" else 1.6
        angle = rng.uniform(0, 2 * np.pi)
        self.joints = rng.uniform(-0.2, 0.2, 2)
        self.target = reach * np.array([np.cos(angle), np.sin(angle)])
        self._commanded = self.joints.astype(np.float32)
        self._instruction = f"reach {task.split('/')[1]}"
        self._steps, self._outcome = 0, Outcome.RUNNING
        return self._observation()

    def step(self, action_rad: NDArray[np.floating]) -> Step:
        if self._outcome is not Outcome.RUNNING:
            raise ContractError("The episode is over; allowed: reset. Reset first.")
        action = checked_action(self.spec, action_rad)
        reachable = np.clip(action, self._commanded - _STRIDE_RAD, self._commanded + _STRIDE_RAD)
        self._commanded = np.clip(reachable, self.spec.joint_lower_rad, self.spec.joint_upper_rad)
        self.joints = self._slack * self.joints + (1 - self._slack) * self._commanded
        self._steps += 1
        if self._broken and self._steps == 5:
            raise RobotFaultError("the elbow fell off")
        reason = ""
        if self.distance < _TOLERANCE_RAD:
            self._outcome, reason = Outcome.SUCCESS, "reached"
        elif self._steps >= 4.0 * _CONTROL_HZ:
            self._outcome, reason = Outcome.TIMEOUT, "time out"
        return Step(self._observation(), self._commanded.copy(), self._outcome, reason)

    def close(self) -> None:
        self._outcome = Outcome.FAILURE

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def distance(self) -> float:
        return float(np.abs(self.joints - self.target).max())

    def expert(self) -> ReachExpert:
        return ReachExpert(self)

    def _observation(self) -> Observation:
        image = np.full((_CAMERA.height, _CAMERA.width, 3), 40 + self._steps, np.uint8)
        row, column = np.clip((self.target + 2) * 4, 0, 15).astype(int)
        image[row, column] = 255
        state = np.concatenate([self.joints, self.target]).astype(np.float32)
        return Observation({"front": image}, state, self._commanded.copy(), self._instruction)


class ReachExpert:
    """Goes straight to the target; sees a hazard in being late and far away."""

    def __init__(self, robot: ReachRobot):
        self._robot = robot

    def act(self) -> NDArray[np.float32]:
        robot = self._robot
        move = np.clip(robot.target - robot.joints, -_STRIDE_RAD, _STRIDE_RAD)
        return (robot.joints + move).astype(np.float32)

    def assess(self) -> Assessment:
        robot = self._robot
        late_and_far = robot._steps > 22 and robot.distance > 0.3
        return Assessment("far" if late_and_far else "", not late_and_far, True, 1 - robot.distance / 4)


def make_reach(*, station_seed: int = 0) -> ReachRobot:
    return ReachRobot(station_seed)


@dataclass(frozen=True)
class ReachWorld:
    """Everything a study needs, on disk: a folder on `sys.path` that registers the robot, and files."""

    path: Path
    checkpoint: Path
    demos: Path


def register(directory: Path) -> None:
    """Make the robot ``reach`` installed, here and in processes started from here."""
    register_robot(directory, "reach", "fakes:make_reach")


def register_robot(directory: Path, name: str, factory: str) -> None:
    """Make a robot installed, as a package would that lay in `directory`."""
    metadata = directory / f"sop_fake_{name}-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: sop-fake-{name}\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(f"[sop_bench.robots]\n{name} = {factory}\n")
    for entry in (str(directory), str(Path(__file__).parent)):
        if entry not in sys.path:
            sys.path.insert(0, entry)


def make_world(directory: Path, demonstrations: int = 6, steps: int = 60) -> ReachWorld:
    """Register the robot, demonstrate, and clone the demonstrations, but not well."""
    register(directory / "plugin")
    demos = directory / "demos"
    for index in range(demonstrations):
        demonstrate(demos / f"demo-{index:06d}.parquet", TASKS[index % 2], index)
    checkpoint = directory / "base.safetensors"
    save_checkpoint(clone(sorted(demos.iterdir()), steps), checkpoint)
    return ReachWorld(directory / "plugin", checkpoint, demos)


def demonstrate(path: Path, task: str, seed: int) -> Path:
    """One demonstration, kept at `path`."""
    request = EpisodeRequest(task, seed, pixels="all", cameras=("front",), episode_id=path.stem)
    supervisor = DemonstratorConfig(tremor_rad=0.005).build()
    return save_episode(run_episode(ReachRobot(0), HoldPolicy(), request, supervisor), path)


def clone(files: list[Path], steps: int) -> CompactVLA:
    """A tiny policy trained on demonstrations."""
    config = PolicyConfig.for_robot(
        ReachRobot(0).spec, ("front",), {"target": 2}, network=NetworkConfig.tiny()
    )
    generator = torch.Generator().manual_seed(0)
    policy = CompactVLA(config, Tokenizer(["far", "near", "reach"], 12), generator)
    columns: list[tuple[NDArray, ...]] = []
    for file in files:
        episode = load_episode(file, cameras=("front",))
        frames, header = episode.frames, episode.header
        chosen, valid_steps, hold_after = supervised_steps(frames, success=header.success)
        chunk, valid = chunk_targets(frames, chosen, valid_steps, hold_after, policy.chunk_steps)
        images = {"front": np.stack([episode.image("front", int(step)) for step in chosen])}
        state = frames.state[chosen]
        features = policy.encode(images, [header.instruction] * len(chosen), state)
        columns.append((features, state, frames.commanded_rad[chosen], chunk, valid))
    batch = TrainingBatch(
        *(torch.from_numpy(np.concatenate(column)) for column in zip(*columns, strict=True))
    )
    policy.normaliser.fit(batch.state, batch.commanded_rad, batch.chunk_rad, batch.valid)
    optimiser = torch.optim.AdamW(policy.trainable_parameters(), lr=2e-3)
    with single_thread():
        for _ in range(steps):
            optimiser.zero_grad()
            policy.loss(batch, generator).mean().backward()
            optimiser.step()
    return policy

"""A robot, demonstrations and a policy so small that whole studies take seconds; no simulator is needed.

The robot has two joints and is to move both onto a target. Its proprioception gives the target away, and its
camera shows it as a dot, so that the policy learns the task in a hundred steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from fake_robot import Start, StraightExpert, TwoJointRobot, dot, register_robot
from numpy.typing import NDArray

from sop_bench.episode import load_episode, save_episode
from sop_bench.errors import RobotFaultError
from sop_bench.policy.base import HoldPolicy
from sop_bench.policy.batch import TrainingBatch
from sop_bench.policy.checkpoint import save_checkpoint
from sop_bench.policy.chunks import chunk_targets, supervised_steps
from sop_bench.policy.config import PolicyConfig
from sop_bench.policy.network import NetworkConfig
from sop_bench.policy.tokenizer import Tokenizer
from sop_bench.policy.vla import CompactVLA, single_thread
from sop_bench.robot import Assessment, CameraSpec, RobotSpec, Step
from sop_bench.rollout import EpisodeRequest, run_episode
from sop_bench.supervision.demonstrator import DemonstratorConfig
from sop_bench.supervision.operator import OperatorConfig

TASKS = ("reach/near", "reach/far")
OPERATOR = OperatorConfig(stall_s=0.5, late_s=1.0, minimum_s=0.3, settle_s=0.1, tremor_rad=0.002)

_STRIDE_RAD = 0.08
_CAMERA = CameraSpec("front", 16, 16)


class ReachRobot(TwoJointRobot):
    """See the module. Stations differ in their slack: how far the joints stay behind the targets.

    A station seed of 666 is a broken one: every episode ends in a fault at its fifth step.
    """

    tolerance_rad: ClassVar = dict.fromkeys(TASKS, 0.1)

    def __init__(self, station_seed: int):
        self._broken = station_seed == 666
        slack = float(np.random.default_rng(station_seed).uniform(0.0, 0.2))
        spec = RobotSpec(
            name="reach",
            station={"slack": slack},
            control_hz=10.0,
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
        super().__init__(spec, slack)

    def draw(self, task: str, rng: np.random.Generator) -> Start:
        reach = 0.8 if task == "reach/near" else 1.6
        angle = rng.uniform(0, 2 * np.pi)
        target = reach * np.array([np.cos(angle), np.sin(angle)])
        return Start(rng.uniform(-0.2, 0.2, 2), target, f"reach {task.split('/')[1]}")

    def step(self, action_rad: NDArray[np.floating]) -> Step:
        if self._broken and self.steps == 4:
            raise RobotFaultError("the elbow fell off")
        return super().step(action_rad)

    def expert(self) -> ReachExpert:
        return ReachExpert(self, _STRIDE_RAD)

    def images(self) -> dict[str, NDArray[np.uint8]]:
        return {"front": dot(self.target, _CAMERA, 40 + self.steps)}


class ReachExpert(StraightExpert):
    """Sees a hazard in being late and far away."""

    def assess(self) -> Assessment:
        if self._robot.steps > 22 and self._robot.distance > 0.3:
            return replace(super().assess(), hazard="far", safe=False)
        return super().assess()


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

"""The recipe of a pretrained policy, as plain data: of one task, or of a generalist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sop_bench.errors import ConfigurationError, unknown_name
from sop_bench.policy.network import CameraNetwork, NetworkConfig
from sop_bench.policy.optimisation import OptimiserConfig
from sop_bench.policy.perception import PerceptionConfig
from sop_bench.policy.storage import Storage
from sop_bench.robot import HasLabelledScenes, make_robot
from sop_bench.studies.cloning import CloningConfig
from sop_bench.studies.demos import DemonstrationConfig
from sop_bench.studies.mixture import MixtureConfig, profile_hours

Pointing = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RefinementConfig:
    """More training of an encoder, from where it is, with more scenes of the tasks that need them.

    Attributes:
        tasks: Those tasks.
        stills: Of each of them, counting those that the encoder was trained on before; all else is as before.
        perception: How long and how fast.
    """

    tasks: tuple[str, ...] = ()
    stills: int = 72_000
    perception: PerceptionConfig = field(default_factory=PerceptionConfig)


_SEVERAL_TASKS_STEPS = 24_000  # of the encoder
# Few moments are learnt by heart: of 6000 a task, the product was found in 0.99, and in 0.92 of others.
_SEVERAL_TASKS_SCENES = {"stills": 112_000, "moments": 168_000}
_NAMED = "target_xyz"  # the label of tasks in which one of several things is asked for
# First looks decide which product is taken: an encoder of one task, with 72,000 stills, names 0.98 of them,
# and one of seven tasks, with 16,000 of each, named 0.87 to 0.96 (docs/lessons.md).
_NAMES = RefinementConfig(
    stills=72_000,
    # Calmer than the first phase, which began from nothing; other rates have not been compared.
    perception=PerceptionConfig(
        steps=6_000, batch_size=256, workers=2, optimiser=OptimiserConfig(learning_rate=2e-3)
    ),
)
# Families in one head get in each other's way, and boxes are lost to hands that stop on a flap: asked twice
# as often, the policy stops less (docs/lessons.md has the numbers). In bytes, three heads stay below 10 MB.
# The camera that names products has half as many channels again as that of a policy of one task.
_SEVERAL_TASKS_NETWORK = NetworkConfig(
    scene_camera=CameraNetwork(16, 48, (3, 3, 3), vector_dim=64),
    context_dim=448,
    flow_dim=624,
    family_execute_steps=(("box", 2),),
    head_per_family=True,
)
_SEVERAL_TASKS_STORAGE: Storage = "int8"
_SEVERAL_TASKS_CLONING = CloningConfig(steps=6000, batch_size=64)  # frames of each task

# What each camera points at, as far as a policy's tasks have it. Positions that stand in the picture for the
# front camera, seen from the hand for the cameras on the wrists.
POINTING: Pointing = (
    ("front", "target_xyz"),  # restocking: the named product
    ("front", "handle_xyz"),  # the freezer's lid
    ("front", "far_tabs_xyz"),  # cloth
    ("front", "near_corners_xyz"),
    ("front", "edges_xyz"),  # the flaps of a box
    ("wrist_left", "handle_minus_left_tcp"),
    ("wrist_left", "left_tab_minus_tcp"),
    ("wrist_left", "edges_minus_left_tip"),
    ("wrist_right", "target_minus_tcp"),
    ("wrist_right", "right_tab_minus_tcp"),
    ("wrist_right", "edges_minus_right_tip"),
)


@dataclass(frozen=True)
class PretrainConfig:
    """A pretrained policy, from nothing.

    Attributes:
        robot, tasks: What to pretrain for; several tasks make a generalist.
        cameras: What the policy sees, whatever the task.
        pointing: Cameras and the labels that they point at.
        station_seeds: Stations whose scenes are rendered.
        stills, moments: Scenes of each kind (see `sop_bench.policy.scenes`), in equal parts of every
            task, each rounded up to whole shards. They stay on disk: 1000 with three cameras take 55 MB.
        probe_station_seeds: Stations never trained on, whose held-out scenes measure the encoder.
        probe_scenes: Of each task and kind.
        demonstrations: The offline data; few, so that post-training has something to do.
        network, perception, cloning: See there.
        refinement: A second phase of the encoder's training, if there is one.
        storage: Of the weights in the file.
        seed: Of everything.
    """

    robot: str = "so101"
    tasks: tuple[str, ...] = ("restock/flat-shelf",)
    cameras: tuple[str, ...] = ("front", "wrist_right")
    pointing: Pointing = (("front", "target_xyz"), ("wrist_right", "target_minus_tcp"))
    station_seeds: tuple[int, ...] = tuple(range(1, 13))
    stills: int = 72_000
    moments: int = 24_000
    shard_scenes: int = 1000
    probe_station_seeds: tuple[int, ...] = (101, 102)
    probe_scenes: int = 1000
    demonstrations: DemonstrationConfig | MixtureConfig = field(
        default_factory=lambda: DemonstrationConfig(robot_hours=0.02)
    )
    network: NetworkConfig = field(default_factory=NetworkConfig)
    perception: PerceptionConfig = field(default_factory=PerceptionConfig)
    refinement: RefinementConfig | None = None
    cloning: CloningConfig = field(default_factory=CloningConfig)
    storage: Storage = "float16"
    seed: int = 0

    def __post_init__(self):
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ConfigurationError(
                f"PretrainConfig.tasks is {self.tasks}; allowed: one or more names, each once."
            )


def recipe_for(
    tasks: Sequence[str],
    *,
    robot: str = "so101",
    profile: str = "desk",
    robot_hours: float | None = None,
    seed: int = 0,
) -> PretrainConfig:
    """The recipe for these tasks: which cameras it needs and what they point at follows from their labels.

    Args:
        profile: Chooses the hours of demonstrations of several tasks, in the paper's proportions.
        robot_hours: Of all demonstrations together; by default those of the profile, or of the shipped policy
            for one task.

    Raises:
        ConfigurationError: Unknown robot, task or profile, or a robot that cannot pose scenes.
    """
    tasks, hours = tuple(tasks), profile_hours(profile)
    offered, labels_of = _labels(robot, tasks)
    labels = {label for own in labels_of.values() for label in own}
    pointing = tuple((camera, label) for camera, label in POINTING if label in labels and camera in offered)
    pointed_with = {camera for camera, _ in pointing} or set(offered)
    cameras = tuple(name for name in offered if name in pointed_with)
    config = PretrainConfig(robot=robot, tasks=tasks, cameras=cameras, pointing=pointing, seed=seed)
    if len(tasks) == 1:
        demonstrations = replace(
            PretrainConfig().demonstrations, robot=robot, tasks=tasks, seed=seed, cameras=cameras
        )
        if robot_hours is not None:
            demonstrations = replace(demonstrations, robot_hours=robot_hours)
        return replace(config, demonstrations=demonstrations)
    hours = hours if robot_hours is None else robot_hours
    mixture = MixtureConfig(robot=robot, tasks=tasks, robot_hours=hours, seed=seed, cameras=cameras)
    perception = replace(config.perception, steps=_SEVERAL_TASKS_STEPS)
    naming = tuple(task for task in tasks if _NAMED in labels_of[task])
    cloning = replace(_SEVERAL_TASKS_CLONING, batch_size=_SEVERAL_TASKS_CLONING.batch_size * len(tasks))
    return replace(
        config,
        demonstrations=mixture,
        **_SEVERAL_TASKS_SCENES,
        network=_SEVERAL_TASKS_NETWORK,
        storage=_SEVERAL_TASKS_STORAGE,
        perception=perception,
        refinement=replace(_NAMES, tasks=naming) if naming else None,
        cloning=cloning,
    )


def _labels(name: str, tasks: Sequence[str]) -> tuple[tuple[str, ...], dict[str, set[str]]]:
    """The robot's cameras, and the labels of each task."""
    with make_robot(name, station_seed=1) as robot:
        for task in tasks:
            if task not in robot.spec.tasks:
                raise unknown_name("task", task, robot.spec.tasks)
        if not isinstance(robot, HasLabelledScenes):
            raise ConfigurationError(
                f"Robot {name!r} cannot pose random scenes (labelled_scene); allowed for pretraining: "
                f"simulated robots that can. Pretrain in simulation, or start from a shipped checkpoint."
            )
        rng = np.random.default_rng(0)
        labels = {task: set(robot.labelled_scene(task, rng).labels) for task in tasks}
        return tuple(camera.name for camera in robot.spec.cameras), labels

"""How simulated robots make labelled scenes: stills, moments of episodes driven badly, and first looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np

from sop_bench.errors import ConfigurationError, RobotFaultError
from sop_bench.policy.scenes import SceneKind, SceneRequest, Scenes
from sop_bench.robot import (
    HasExpert,
    HasLabelledScenes,
    HasLabels,
    LabelledScene,
    Observation,
    Outcome,
    Robot,
    make_robot,
)
from sop_bench.safety import SafetyGate

_SEED_BASE = 1_500_000_000  # moments are taken from scene seeds that no other collection uses
_STRIDE_STEPS = 3  # neighbouring frames of an episode are nearly equal: keep every third
_CLUMSINESS_RAD = (0.0, 0.02, 0.05)  # joint noise of the expert, one drawn for each episode
_NOISE_MEMORY = 0.8  # of the noise from one step to the next
_FUMBLE_CHANCE = 0.03  # per step: the grippers go to a random place for a few steps
_FUMBLE_STEPS = 6


def render_scenes(request: SceneRequest) -> Scenes:
    """The scenes of a shard.

    Raises:
        ConfigurationError: The robot is not simulated: it cannot pose or label scenes.
    """
    rng = np.random.default_rng([request.seed, request.station_seed, request.split == "test"])
    with make_robot(request.robot, station_seed=request.station_seed) as robot:
        scenes = _KINDS[request.kind](robot, request, rng)
        kept = [_kept(scene, request.cameras) for _, scene in zip(range(request.count), scenes, strict=False)]
    return Scenes(
        images={
            name: np.stack([scene.observation.images[name] for scene in kept]) for name in request.cameras
        },
        instructions=np.array([scene.observation.instruction for scene in kept]),
        state=np.stack([scene.observation.proprioception for scene in kept]),
        labels={name: np.stack([scene.labels[name] for scene in kept]) for name in kept[0].labels},
    )


def _stills(robot: Robot, request: SceneRequest, rng: np.random.Generator) -> Iterator[LabelledScene]:
    if not isinstance(robot, HasLabelledScenes):
        raise _not_simulated(request.robot, "pose random scenes (labelled_scene)")
    while True:
        yield robot.labelled_scene(request.task, rng, split=request.split)


def _moments(robot: Robot, request: SceneRequest, rng: np.random.Generator) -> Iterator[LabelledScene]:
    if not (isinstance(robot, HasExpert) and isinstance(robot, HasLabels)):
        raise _not_simulated(request.robot, "label the states of an expert's episode (expert, labels)")
    gate, spec = SafetyGate(robot.spec), robot.spec
    gripper = np.array([name.endswith("gripper") for name in spec.joint_names])
    labels_of = cast(HasLabels, robot).labels
    while True:
        observation = robot.reset(request.task, _SEED_BASE + int(rng.integers(2**28)), split=request.split)
        expert = robot.expert()
        clumsiness_rad = rng.choice(_CLUMSINESS_RAD) * ~gripper
        noise, fumble, fumble_steps = np.zeros(spec.action_dim), observation.commanded_rad, 0
        step, outcome, phase = 0, Outcome.RUNNING, int(rng.integers(_STRIDE_STEPS))
        while outcome is Outcome.RUNNING:
            if step % _STRIDE_STEPS == phase:
                yield LabelledScene(_rendered(observation, request.cameras), labels_of())
            innovation = np.sqrt(1 - _NOISE_MEMORY**2) * rng.normal(size=spec.action_dim)
            noise = _NOISE_MEMORY * noise + innovation
            if fumble_steps == 0 and rng.random() < _FUMBLE_CHANCE:
                fumble, fumble_steps = rng.uniform(spec.joint_lower_rad, spec.joint_upper_rad), _FUMBLE_STEPS
            action = expert.act() + clumsiness_rad * noise
            if fumble_steps:
                action, fumble_steps = np.where(gripper, fumble, action), fumble_steps - 1
            try:
                taken = robot.step(gate(action, observation.commanded_rad))
            except RobotFaultError:  # physics diverged under a fumbling hand: this episode ends here
                break
            observation, outcome, step = taken.observation, taken.outcome, step + 1


def _first_looks(robot: Robot, request: SceneRequest, rng: np.random.Generator) -> Iterator[LabelledScene]:
    if not isinstance(robot, HasLabels):
        raise _not_simulated(request.robot, "label what it sees (labels)")
    while True:
        observation = robot.reset(request.task, _SEED_BASE + int(rng.integers(2**28)), split=request.split)
        yield LabelledScene(_rendered(observation, request.cameras), robot.labels())


_KINDS: dict[SceneKind, Callable[[Robot, SceneRequest, np.random.Generator], Iterator[LabelledScene]]] = {
    "still": _stills,
    "moment": _moments,
    "first": _first_looks,
}


def _rendered(observation: Observation, cameras: Sequence[str]) -> Observation:
    """The same with its images as plain arrays, readable after the next step."""
    images = {name: np.array(observation.images[name]) for name in cameras}
    return Observation(images, observation.proprioception, observation.commanded_rad, observation.instruction)


def _kept(scene: LabelledScene, cameras: Sequence[str]) -> LabelledScene:
    return LabelledScene(_rendered(scene.observation, cameras), dict(scene.labels))


def _not_simulated(robot: str, ability: str) -> ConfigurationError:
    return ConfigurationError(
        f"Robot {robot!r} cannot {ability}; allowed for pretraining: simulated robots that can. Pretrain in "
        f"simulation, or start from a shipped checkpoint."
    )

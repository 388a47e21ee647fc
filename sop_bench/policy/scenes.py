"""Labelled scenes for perception pretraining: rendered by simulated robots, kept on disk by the shard.

Two kinds are mixed. *Stills* pose everything at random without physics: they are the most varied. *Moments*
are taken from episodes that the scripted expert drives badly on purpose: they add what only physics poses,
above all products in the hand. Neither keeps an action: how the task is solved is not learnt from them.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import ConfigurationError, CorruptDataError, RobotFaultError
from sop_bench.robot import (
    HasExpert,
    HasLabelledScenes,
    HasLabels,
    LabelledScene,
    Observation,
    Outcome,
    Robot,
    Split,
    make_robot,
)
from sop_bench.safety import SafetyGate

SceneKind = Literal["still", "moment"]

_SEED_BASE = 1_500_000_000  # moments are taken from scene seeds that no other collection uses
_STRIDE_STEPS = 3  # neighbouring frames of an episode are nearly equal: keep every third
_CLUMSINESS_RAD = (0.0, 0.02, 0.05)  # joint noise of the expert, one drawn for each episode
_NOISE_MEMORY = 0.8  # of the noise from one step to the next
_FUMBLE_CHANCE = 0.03  # per step: the grippers go to a random place for a few steps
_FUMBLE_STEPS = 6


@dataclass(frozen=True)
class SceneRequest:
    """One shard; equal requests give equal scenes.

    Attributes:
        robot, station_seed: Which station.
        task, split: What is on the desk.
        kind: Stills or moments of episodes.
        cameras: Images to keep.
        seed: Draws the scenes.
        count: How many.
    """

    robot: str
    station_seed: int
    task: str
    split: Split
    kind: SceneKind
    cameras: tuple[str, ...]
    seed: int
    count: int

    @property
    def file_name(self) -> str:
        task = self.task.replace("/", "-")
        return (
            f"{self.robot}-{self.station_seed}-{task}-{self.split}-{self.kind}-{self.seed}-{self.count}.npz"
        )


@dataclass(frozen=True)
class Scenes:
    """N labelled scenes.

    Attributes:
        images: Camera name to (N, h, w, 3) uint8.
        instructions: (N,) texts.
        state: (N, P) float32 proprioception.
        labels: Name to (N, d) float32; NaN in the scenes of a task that does not have the label.
    """

    images: Mapping[str, NDArray[np.uint8]]
    instructions: NDArray[np.str_]
    state: NDArray[np.float32]
    labels: Mapping[str, NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.state)

    @classmethod
    def joined(cls, parts: Iterable[Scenes], count: int) -> Scenes:
        """The `count` scenes of all `parts`, in order, with the images of the first and the labels of any.

        Parts are taken one at a time: two copies of all images would not fit into a small machine.

        Raises:
            ConfigurationError: Two tasks call labels of different lengths by one name.
        """
        images: dict[str, NDArray[np.uint8]] = {}
        labels: dict[str, NDArray[np.float32]] = {}
        instructions: list[NDArray[np.str_]] = []
        state: list[NDArray[np.float32]] = []
        done = 0
        for part in parts:
            place = slice(done, done + len(part))
            for name, values in part.images.items() if done == 0 else ():
                images[name] = np.empty((count, *values.shape[1:]), np.uint8)
            for name, array in images.items():
                array[place] = part.images[name]
            for name, values in part.labels.items():
                if name not in labels:
                    labels[name] = np.full((count, values.shape[1]), np.nan, np.float32)
                if labels[name].shape[1] != values.shape[1]:
                    raise ConfigurationError(
                        f"Label {name!r} has {values.shape[1]} values in scenes like "
                        f"{str(part.instructions[0])!r} and {labels[name].shape[1]} in others; allowed: "
                        f"one length for all tasks that share a name. Rename it in one of the tasks."
                    )
                labels[name][place] = values
            instructions.append(part.instructions)
            state.append(part.state)
            done += len(part)
        return cls(images, np.concatenate(instructions), np.concatenate(state), labels)


def render_scenes(request: SceneRequest) -> Scenes:
    """The scenes of a shard.

    Raises:
        ConfigurationError: The robot is not simulated: it cannot pose or label scenes.
    """
    rng = np.random.default_rng([request.seed, request.station_seed, request.split == "test"])
    with make_robot(request.robot, station_seed=request.station_seed) as robot:
        scenes = _stills(robot, request, rng) if request.kind == "still" else _moments(robot, request, rng)
        kept = [_kept(scene, request.cameras) for _, scene in zip(range(request.count), scenes, strict=False)]
    return Scenes(
        images={
            name: np.stack([scene.observation.images[name] for scene in kept]) for name in request.cameras
        },
        instructions=np.array([scene.observation.instruction for scene in kept]),
        state=np.stack([scene.observation.proprioception for scene in kept]),
        labels={name: np.stack([scene.labels[name] for scene in kept]) for name in kept[0].labels},
    )


def cached_scenes(request: SceneRequest, directory: Path) -> Path:
    """The file of a shard in `directory`, rendered now if it is missing, damaged, or lacks a camera."""
    path = directory / request.file_name
    if not path.exists() or not set(request.cameras) <= _rendered_cameras(path):
        save_scenes(render_scenes(request), path)
    return path


def _rendered_cameras(path: Path) -> set[str]:
    """The cameras of a shard; none if it is damaged."""
    try:
        with zipfile.ZipFile(path) as file:
            images = [name for name in file.namelist() if name.startswith("images.")]
    except (OSError, zipfile.BadZipFile):
        return set()
    return {name.removeprefix("images.").removesuffix(".npy") for name in images}


def save_scenes(scenes: Scenes, path: Path) -> None:
    """Write `scenes` so that the file is either whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    arrays = {
        "instructions": scenes.instructions,
        "state": scenes.state,
        **{f"images.{name}": values for name, values in scenes.images.items()},
        **{f"labels.{name}": values for name, values in scenes.labels.items()},
    }
    try:
        with part.open("wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]  (stubs mix up allow_pickle)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load_scenes(path: Path, cameras: Sequence[str] | None = None) -> Scenes:
    """The scenes in `path`, with the images of `cameras`, or of all that it holds.

    Raises:
        CorruptDataError: It is damaged, or lacks a camera.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            others = [name for name in file.files if not name.startswith("images.")]
            wanted = file.files if cameras is None else [*others, *(f"images.{name}" for name in cameras)]
            arrays = {name: file[name] for name in wanted}
        return Scenes(
            images={n.removeprefix("images."): a for n, a in arrays.items() if n.startswith("images.")},
            instructions=arrays["instructions"],
            state=arrays["state"],
            labels={n.removeprefix("labels."): a for n, a in arrays.items() if n.startswith("labels.")},
        )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CorruptDataError(
            f"{path} is not a readable shard of scenes ({error}); expected what sop-bench wrote. Delete it: "
            f"it is rendered again when it is needed."
        ) from error


# ------------------------------------------------------------------------------------------- rendering


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


def request_facts(requests: Sequence[SceneRequest]) -> dict[str, object]:
    """What a checkpoint should say about the scenes it was trained on."""
    first, tasks = asdict(requests[0]), list(dict.fromkeys(request.task for request in requests))
    return {
        "robot": first["robot"],
        **({"task": tasks[0]} if len(tasks) == 1 else {"tasks": tasks}),
        "split": first["split"],
        "cameras": list(first["cameras"]),
        "station_seeds": sorted({request.station_seed for request in requests}),
        "scenes": {
            kind: sum(request.count for request in requests if request.kind == kind)
            for kind in sorted({request.kind for request in requests})
        },
    }

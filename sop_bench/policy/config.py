"""What shape a compact VLA has: plain data, kept in its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sop_bench.errors import ConfigurationError, unknown_name
from sop_bench.policy.network import NetworkConfig
from sop_bench.robot import CameraSpec, RobotSpec

MAGNIFIED_SHARES = (0.1, 0.4)
"""Of a label's standard deviation: what its magnified copies resolve around zero (see `vision`)."""

LOOKS = {"looks_at": "labels of the task"}
"""In the facts of a generalist: its cameras look for what its task has, and for nothing else."""

_POSITION = 3  # numbers of a position in a label


@dataclass(frozen=True)
class TaskConfig:
    """One of the tasks of a generalist.

    Attributes:
        name: Such as ``"restock/flat-shelf"``.
        words: All words of its instructions, by which it is recognised (see `recogniser`).
        labels: Names of the labels that its scenes have.
    """

    name: str
    words: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def family(self) -> str:
        """What comes before the slash of its name."""
        return self.name.split("/")[0]


@dataclass(frozen=True)
class PolicyConfig:
    """Everything that fixes the shapes of a policy's weights, besides its vocabulary.

    Attributes:
        cameras: The cameras it reads, in order.
        joint_names: One per action dimension; names that end in ``gripper`` are treated as two-valued.
        proprioception_names: One per dimension of `Observation.proprioception`.
        labels: Name and length of each label of the grounding read-out, in order.
        pointing: Cameras and labels: the camera votes for that label cell by cell, with a `pointer.Pointer`
            for each of its positions.
        network: Widths and depths.
        tasks: Of a generalist; empty for a policy of one task, which need not tell tasks apart.
    """

    cameras: tuple[CameraSpec, ...]
    joint_names: tuple[str, ...]
    proprioception_names: tuple[str, ...]
    labels: tuple[tuple[str, int], ...] = ()
    pointing: tuple[tuple[str, str], ...] = ()
    network: NetworkConfig = field(default_factory=NetworkConfig)
    tasks: tuple[TaskConfig, ...] = ()

    @classmethod
    def for_robot(
        cls,
        spec: RobotSpec,
        cameras: tuple[str, ...],
        labels: Mapping[str, int],
        pointing: Sequence[tuple[str, str]] = (),
        network: NetworkConfig | None = None,
        tasks: Sequence[TaskConfig] = (),
    ) -> PolicyConfig:
        """The configuration that fits `spec`, reading the named cameras.

        Raises:
            ConfigurationError: The robot has no camera of that name, or no label to point at.
        """
        for camera, label in pointing:
            if camera not in cameras:
                raise unknown_name("camera", camera, cameras, f"It is to point at {label!r}.")
            if label not in labels:
                raise unknown_name("label", label, labels, "A camera can only point at what scenes label.")
        return cls(
            cameras=tuple(spec.camera(name) for name in cameras),
            joint_names=spec.joint_names,
            proprioception_names=spec.proprioception_names,
            labels=tuple(labels.items()),
            pointing=tuple(pointing),
            network=network or NetworkConfig(),
            tasks=tuple(tasks),
        )

    @property
    def action_dim(self) -> int:
        return len(self.joint_names)

    @property
    def state_dim(self) -> int:
        return len(self.proprioception_names)

    @property
    def label_dim(self) -> int:
        return sum(length for _, length in self.labels)

    @property
    def feature_dim(self) -> int:
        """F: the grounding outputs, as they are and magnified; a generalist's end with its task, one-hot."""
        return (1 + len(MAGNIFIED_SHARES)) * self.label_dim + len(self.tasks)

    @property
    def vector_dim(self) -> int:
        """The cameras' vectors and the instruction's, from which labels are read."""
        visual_dim = sum(self.network.of_camera(camera.name).vector_dim for camera in self.cameras)
        return visual_dim + self.network.language_dim

    def pointed_at(self, camera: str) -> tuple[slice, ...]:
        """What a camera points at, in order, as places among all labels: each position of a label by itself.

        The four edges of a carton's flaps are one label, but they lie in four parts of the picture.
        """
        places: list[slice] = []
        for name, label in self.pointing:
            if name == camera:
                whole = self.label_slice(label)
                length = (
                    _POSITION if (whole.stop - whole.start) % _POSITION == 0 else whole.stop - whole.start
                )
                places += [slice(at, at + length) for at in range(whole.start, whole.stop, length)]
        return tuple(places)

    def tasks_with(self, place: slice) -> frozenset[int] | None:
        """Indices of the tasks whose scenes have the label that stands at `place`; None without tasks."""
        if not self.tasks:
            return None
        name = next(
            label
            for label, _ in self.labels
            if self.label_slice(label).start <= place.start < self.label_slice(label).stop
        )
        return frozenset(index for index, task in enumerate(self.tasks) if name in task.labels)

    def looks_with(self, camera: str) -> frozenset[int] | None:
        """Indices of the tasks that look with a camera: those that point with it, or with none at all.

        None without tasks: then it is always looked at.
        """
        if not self.tasks:
            return None
        pointing = {
            name: {i for i, task in enumerate(self.tasks) if self._points(name, task)}
            for name in (each.name for each in self.cameras)
        }
        nowhere = set(range(len(self.tasks))).difference(*pointing.values())
        return frozenset(pointing[camera] | nowhere)

    def _points(self, camera: str, task: TaskConfig) -> bool:
        return any(name == camera and label in task.labels for name, label in self.pointing)

    def label_slice(self, name: str) -> slice:
        """Where the label called `name` stands among all labels."""
        start = 0
        for label, length in self.labels:
            if label == name:
                return slice(start, start + length)
            start += length
        raise unknown_name("label", name, (label for label, _ in self.labels))

    def save(self) -> dict[str, Any]:
        """Plain data, for JSON. One task is left unsaid, as in the files from before there were several."""
        data = asdict(self)
        if not self.tasks:
            del data["tasks"]
            return data
        return {**data, **LOOKS}

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> PolicyConfig:
        """The inverse of `save`.

        Raises:
            ConfigurationError: Written by a version of sop-bench with other fields, or a generalist from
                whose cameras looked for the labels of all its tasks at once.
        """
        ((key, own),) = LOOKS.items()
        if data.get("tasks") and data.get(key) != own:
            raise ConfigurationError(
                f"This generalist looked for {data.get(key, 'the labels of all tasks')} in every image; "
                f"allowed: {own} alone. Pretrain it again (sop-bench pretrain --tasks ...)."
            )
        try:
            return cls(
                cameras=tuple(CameraSpec(**camera) for camera in data["cameras"]),
                joint_names=tuple(data["joint_names"]),
                proprioception_names=tuple(data["proprioception_names"]),
                labels=tuple((name, length) for name, length in data["labels"]),
                pointing=tuple((camera, label) for camera, label in data["pointing"]),
                network=NetworkConfig.load(data["network"]),
                tasks=tuple(
                    TaskConfig(task["name"], tuple(task["words"]), tuple(task["labels"]))
                    for task in data.get("tasks", ())
                ),
            )
        except (KeyError, TypeError) as error:
            raise ConfigurationError(
                f"The policy's configuration does not fit this version of sop-bench ({error}); allowed: the "
                f"fields of PolicyConfig. Pretrain again, or use the version that wrote the file."
            ) from error

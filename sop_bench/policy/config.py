"""What shape a compact VLA has: plain data, kept in its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sop_bench.errors import ConfigurationError, unknown_name
from sop_bench.policy.base import EXECUTE_STEPS
from sop_bench.robot import CameraSpec, RobotSpec

MAGNIFIED_SHARES = (0.1, 0.4)
"""Of a label's standard deviation: what its magnified copies resolve around zero (see `vision`)."""

HEAD_FIELDS = (
    "context_dim",
    "flow_dim",
    "flow_blocks",
    "chunk_steps",
    "flow_draws",
    "euler_steps",
    "execute_steps",
)
"""Of `NetworkConfig`: those that shape the action head and leave the encoder as it is."""


@dataclass(frozen=True)
class CameraNetwork:
    """Convolutions of one camera's encoder (see `vision.CameraEncoder`).

    Attributes:
        stem_channels, channels: Of the two strided convolutions; the FiLM blocks keep `channels`.
        kernels: Kernel size of each FiLM block.
        grid_channels: Channels of the grid that is flattened.
        vector_dim: Length of the camera's vector.
    """

    stem_channels: int = 32
    channels: int = 64
    kernels: tuple[int, ...] = (3, 3)
    grid_channels: int = 32
    vector_dim: int = 128


@dataclass(frozen=True)
class NetworkConfig:
    """Widths and depths.

    Attributes:
        max_words: Longest instruction, in words.
        word_dim, language_dim: Embedding of one word, and of the whole instruction.
        scene_camera, wrist_camera: Encoders of cameras that see the whole scene, from which products are
            named, and of cameras called ``wrist...``, which see a few centimetres and locate.
        grounding_dim: Hidden width of the read-out of labels.
        context_dim: What the flow head is conditioned on.
        flow_dim, flow_blocks: Width and residual blocks of the flow head.
        chunk_steps: H, actions in a chunk.
        flow_draws: Draws of (time, noise) for each training sample.
        euler_steps: Integration steps at inference.
        execute_steps: Steps of a chunk that are executed before the next is asked for.
    """

    max_words: int = 12
    word_dim: int = 32
    language_dim: int = 64
    scene_camera: CameraNetwork = CameraNetwork(16, 32, (3, 3, 3), vector_dim=64)
    wrist_camera: CameraNetwork = CameraNetwork(16, 32, (3,), 16, vector_dim=96)
    grounding_dim: int = 256
    context_dim: int = 256
    flow_dim: int = 384
    flow_blocks: int = 2
    chunk_steps: int = 16
    flow_draws: int = 2
    euler_steps: int = 2
    execute_steps: int = EXECUTE_STEPS

    def of_camera(self, name: str) -> CameraNetwork:
        """The encoder of the camera called `name`."""
        return self.wrist_camera if name.startswith("wrist") else self.scene_camera

    def with_head_of(self, other: NetworkConfig) -> NetworkConfig:
        """This encoder below the action head of `other`."""
        return replace(self, **{name: getattr(other, name) for name in HEAD_FIELDS})

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> NetworkConfig:
        """From plain data, as `dataclasses.asdict` writes it."""
        cameras = {
            name: CameraNetwork(**{**data[name], "kernels": tuple(data[name]["kernels"])})
            for name in ("scene_camera", "wrist_camera")
        }
        return cls(**{**data, **cameras})

    @classmethod
    def tiny(cls) -> NetworkConfig:
        """A network for tests: the same parts, milliseconds to train."""
        camera = CameraNetwork(stem_channels=4, channels=8, kernels=(3,), grid_channels=4, vector_dim=16)
        return cls(
            word_dim=4,
            language_dim=8,
            scene_camera=camera,
            wrist_camera=camera,
            grounding_dim=16,
            context_dim=32,
            flow_dim=32,
            flow_blocks=1,
            chunk_steps=8,
        )


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


@dataclass(frozen=True)
class PolicyConfig:
    """Everything that fixes the shapes of a policy's weights, besides its vocabulary.

    Attributes:
        cameras: The cameras it reads, in order.
        joint_names: One per action dimension; names that end in ``gripper`` are treated as two-valued.
        proprioception_names: One per dimension of `Observation.proprioception`.
        labels: Name and length of each label of the grounding read-out, in order.
        pointing: Camera and label of each `pointer.Pointer`: the camera votes for that label cell by cell.
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

    def pointed_at(self, camera: str) -> tuple[str, ...]:
        """The labels that a camera points at, in order."""
        return tuple(label for name, label in self.pointing if name == camera)

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

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> PolicyConfig:
        """The inverse of `save`.

        Raises:
            ConfigurationError: Written by a version of sop-bench with other fields.
        """
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

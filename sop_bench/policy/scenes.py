"""Labelled scenes for perception pretraining: what is asked for, and what comes of it, by the shard.

Two kinds are mixed. *Stills* pose everything at random without physics: they are the most varied. *Moments*
are taken from episodes that the scripted expert drives badly on purpose: they add what only physics poses,
above all products in the hand. Neither keeps an action: how the task is solved is not learnt from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import ConfigurationError
from sop_bench.robot import Split

SceneKind = Literal["still", "moment"]


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

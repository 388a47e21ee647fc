"""Labelled scenes for perception pretraining: what is asked for, and what comes of it, by the shard.

Two kinds are mixed to train on. *Stills* pose everything at random without physics: they are the most
varied. *Moments* are taken from episodes that the scripted expert drives badly on purpose: they add what only
physics poses, above all products in the hand. Neither keeps an action: how the task is solved is not learnt
from them.
The *first* looks of episodes are measured only: there a policy makes up its mind which product is meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import ConfigurationError
from sop_bench.policy.stored_images import StoredImages
from sop_bench.robot import Split

SceneKind = Literal["still", "moment", "first"]
Images = NDArray[np.uint8] | StoredImages


@dataclass(frozen=True)
class SceneRequest:
    """One shard; equal requests give equal scenes.

    Attributes:
        robot, station_seed: Which station.
        task, split: What is on the desk.
        kind: Stills, or moments or first looks of episodes.
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
        images: Camera name to (N, h, w, 3) uint8, in memory or in files; `images[rows]` copies.
        instructions: (N,) texts.
        state: (N, P) float32 proprioception.
        labels: Name to (N, d) float32; NaN in the scenes of a task that does not have the label.
    """

    images: Mapping[str, Images]
    instructions: NDArray[np.str_]
    state: NDArray[np.float32]
    labels: Mapping[str, NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.state)

    @classmethod
    def joined(cls, parts: Sequence[Scenes]) -> Scenes:
        """The scenes of all `parts`, in order, with the images of the first and the labels of any.

        Raises:
            ConfigurationError: Two tasks call labels of different lengths by one name.
        """
        ends = np.cumsum([len(part) for part in parts])
        labels: dict[str, NDArray[np.float32]] = {}
        for part, end in zip(parts, ends, strict=True):
            for name, values in part.labels.items():
                if name not in labels:
                    labels[name] = np.full((ends[-1], values.shape[1]), np.nan, np.float32)
                if labels[name].shape[1] != values.shape[1]:
                    raise ConfigurationError(
                        f"Label {name!r} has {values.shape[1]} values in scenes like "
                        f"{str(part.instructions[0])!r} and {labels[name].shape[1]} in others; allowed: "
                        f"one length for all tasks that share a name. Rename it in one of the tasks."
                    )
                labels[name][end - len(part) : end] = values
        return cls(
            {name: _joined([part.images[name] for part in parts]) for name in parts[0].images},
            np.concatenate([part.instructions for part in parts]),
            np.concatenate([part.state for part in parts]),
            labels,
        )


def _joined(images: Sequence[Images]) -> Images:
    stored = [each for each in images if isinstance(each, StoredImages)]
    if len(stored) == len(images):
        return StoredImages.joined(stored)
    return np.concatenate([each[:] for each in images])

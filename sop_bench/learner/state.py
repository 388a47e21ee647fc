"""What must survive a restart of a learner, as one folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

_FORMAT = 1


@dataclass(frozen=True)
class LearnerState:
    """What the parts of a learner save, side by side.

    Attributes:
        base: Content hash of the checkpoint it started from.
        episodes: The replay's records, plain data.
    """

    base: str
    optimiser: dict[str, Tensor]
    replay: dict[str, NDArray]
    sampler: dict[str, NDArray]
    episodes: Sequence[Mapping[str, Any]]

    def save(self, directory: Path) -> None:
        """Write it durably; `directory` appears whole or not at all."""
        part = directory.with_name(f".{directory.name}.{os.getpid()}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_file(self.optimiser, part / "optimiser.safetensors")
        for name, arrays in (("replay", self.replay), ("sampler", self.sampler)):
            tensors = {key: torch.from_numpy(value) for key, value in arrays.items()}
            save_file(tensors, part / f"{name}.safetensors")
        plain = {"format": _FORMAT, "base": self.base, "episodes": self.episodes}
        (part / "learner.json").write_text(json.dumps(plain))
        for file in part.iterdir():
            _sync(file)
        shutil.rmtree(directory, ignore_errors=True)
        part.rename(directory)
        _sync(directory.parent)

    @classmethod
    def load(cls, directory: Path) -> LearnerState:
        """Read what `save` wrote.

        Raises:
            ValueError: Another version of sop-bench wrote it, or a file holds no JSON.
            OSError, KeyError, SafetensorError: Something is missing or damaged.
        """
        plain = json.loads((directory / "learner.json").read_text())
        if plain["format"] != _FORMAT:
            raise ValueError("another version of sop-bench wrote it")
        optimiser, replay, sampler = (
            load_file(directory / f"{name}.safetensors") for name in ("optimiser", "replay", "sampler")
        )
        return cls(
            plain["base"],
            optimiser,
            {name: tensor.numpy() for name, tensor in replay.items()},
            {name: tensor.numpy() for name, tensor in sampler.items()},
            plain["episodes"],
        )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

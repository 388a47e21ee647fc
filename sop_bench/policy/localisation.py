"""How well an encoder reads the labels of scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sop_bench.policy.scenes import Scenes
from sop_bench.policy.vla import CompactVLA

_IDENTIFIED_M = 0.020  # closer than half the distance between neighbouring products


@dataclass(frozen=True)
class Localisation:
    """How well a label of one or more positions is read out, over a set of scenes.

    Attributes:
        identified: Share of scenes with less than 20 mm of horizontal error: a wrong product is further off.
        p50_mm, p90_mm: Horizontal error.
        near_p90_mm: The same over positions that are labelled with less than 6 cm (NaN if none).
    """

    identified: float
    p50_mm: float
    p90_mm: float
    near_p90_mm: float


def localisation(policy: CompactVLA, scenes: Scenes, label: str, batch_size: int = 250) -> Localisation:
    """Accuracy of the position label called `label` on `scenes`, in float32 as the policy acts."""
    truth_m = scenes.labels[label].reshape(-1, 3)
    read_m = read_labels(policy, scenes, batch_size)[label].reshape(-1, 3)
    error_m = np.linalg.norm((read_m - truth_m)[:, :2], axis=1)
    near = np.linalg.norm(truth_m, axis=1) < 0.06
    return Localisation(
        identified=float((error_m < _IDENTIFIED_M).mean()),
        p50_mm=float(np.quantile(error_m, 0.5) * 1e3),
        p90_mm=float(np.quantile(error_m, 0.9) * 1e3),
        near_p90_mm=float(np.quantile(error_m[near], 0.9) * 1e3) if near.any() else float("nan"),
    )


def read_labels(policy: CompactVLA, scenes: Scenes, batch_size: int = 250) -> Mapping[str, np.ndarray]:
    """What the encoder believes of each scene: label name to (N, d), in the labels' own units."""
    tokens = policy.tokenizer(scenes.instructions.tolist())
    parts: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(scenes), batch_size):
            part = slice(start, start + batch_size)
            parts.append(
                policy.encoder.labels(
                    {name: torch.from_numpy(scenes.images[name][part]) for name in policy.cameras},
                    policy.encoder.embed_language(tokens[part]),
                    torch.from_numpy(scenes.state[part]),
                    policy.recogniser(tokens[part]),
                )
            )
    lengths = [length for _, length in policy.config.labels]
    columns = torch.cat(parts).split(lengths, dim=1)
    return {name: column.numpy() for (name, _), column in zip(policy.config.labels, columns, strict=True)}

"""How the weights of a checkpoint stand in its file: in half precision or, large ones, in a byte each.

In ``"int8"`` each row of a matrix of the action head is a float32 scale times whole numbers from -127 to 127,
in half the space of float16. The encoder stays in float16: a head that reads millimetres needs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Storage = Literal["int8", "float16", "float32"]

_SCALE = "/scale"  # after the name of a matrix that is kept in bytes
_LEVELS = 127


def packed(weights: Mapping[str, Tensor], storage: Storage) -> dict[str, Tensor]:
    """`weights`, by their names in a policy's `state_dict`, as they are written."""
    stored: dict[str, Tensor] = {}
    for name, value in weights.items():
        value = value.detach()
        if storage == "int8" and value.ndim == 2 and name.startswith("head."):
            scale = value.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / _LEVELS
            stored[name] = (value / scale).round().to(torch.int8)
            stored[name + _SCALE] = scale
        else:
            stored[name] = value.to(torch.float32 if storage == "float32" else torch.float16).contiguous()
    return stored


def unpacked(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The float32 weights of what `packed` gave, and whatever else stands beside them."""
    return {
        name: value.float() * stored[name + _SCALE] if value.dtype == torch.int8 else value.float()
        for name, value in stored.items()
        if not name.endswith(_SCALE)
    }

"""The number format of training: bfloat16 where the processor multiplies in it, float32 elsewhere.

With AVX512-BF16 or AMX a step in bfloat16 takes half the time. Without, its products are emulated: five times
slower than float32 on a server of the generation before, ninety times with AVX2 alone. Weights, and all that
robots act with, are float32 either way; the bits of a training run depend on its processor anyhow.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch

_NATIVE = ("avx512_bf16", "amx_bf16")


@cache
def training_format() -> torch.dtype:
    """``torch.bfloat16`` if this processor has instructions for it, else ``torch.float32``."""
    # Younger than the oldest torch that is supported: without it nothing is known of the processor.
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.bfloat16 if any(capabilities.get(name) for name in _NATIVE) else torch.float32


def training_precision() -> AbstractContextManager[object]:
    """Inside the block, products of matrices and convolutions are taken in `training_format`."""
    if training_format() is torch.float32:
        return nullcontext()
    return torch.autocast("cpu", dtype=training_format())

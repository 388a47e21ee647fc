"""The memory of a training step: the same blocks, taken and given back thousands of times."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_LARGEST_THRESHOLD = 32 * 2**20  # glibc refuses to keep larger blocks on its heap
_NEVER = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees; whether the C library could be told so.

    By default glibc returns the activations of each step to the kernel, which clears the pages before it
    gives them out again: 8000 page faults, a fifth of the time of a step from pixels. Kept, they stay
    resident: the process does not shrink below its peak.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # a C library without it, such as musl
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_THRESHOLD) and mallopt(_M_TRIM_THRESHOLD, _NEVER))

"""Memory that is freed stays with the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

_COUNT = """
import resource, numpy as np
from sop_bench.policy.freed_memory import keep_freed_memory
{call}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [np.ones(2**20) for _ in range(4)]  # 8 MB each
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def page_faults(call: str) -> int:
    """Of 640 MB in blocks taken and freed, in a process of its own."""
    script = _COUNT.format(call=call)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tells glibc")
def test_blocks_that_are_taken_again_cost_no_page_faults():
    assert page_faults("assert keep_freed_memory()") < 0.1 * page_faults("")

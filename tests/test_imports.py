"""Every module can be the first that is imported: no circle hides behind a lucky order."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest
import sop_envs

import sop_bench

# Other people's packages are imported once, then each module by a fork that has seen none of ours: a fresh
# interpreter for each would load MuJoCo and torch a hundred times.
_SIMULATION = "dm_control.mjcf gymnasium mujoco PIL.Image pyarrow.parquet scipy.optimize"
_LEARNING = (
    "matplotlib.pyplot pandas psutil rich.live safetensors.torch simpy statsmodels.stats.api torch typer"
)

_EACH_BY_A_FORK = """
import importlib, os, sys, traceback
theirs, ours = (names.split() for names in sys.argv[1:])
for name in theirs:
    importlib.import_module(name)
assert not [name for name in sys.modules if name.startswith("sop_")]
failed = []
for name in ours:
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
print(*failed)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("package", "theirs"),
    [
        pytest.param(sop_envs, _SIMULATION, id="sop_envs"),
        pytest.param(sop_bench, f"{_SIMULATION} {_LEARNING}", id="sop_bench", marks=pytest.mark.slow),
    ],
)
def test_every_module_can_be_imported_first(package: ModuleType, theirs: str):
    ours = [found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    assert len(ours) > 20
    outcome = subprocess.run(
        [sys.executable, "-c", _EACH_BY_A_FORK, theirs, " ".join(ours)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.split() == [], outcome.stderr

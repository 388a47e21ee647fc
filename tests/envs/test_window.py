"""The window: refused with advice where there is no display, and harmless where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from sop_bench.errors import ConfigurationError
from sop_bench.robot import HasWindow

TASK = "restock/flat-shelf"

_SHOWN = f"""
import sys
import numpy as np
from sop_envs.robots import make_so101

def final_state(shown):
    with make_so101(1) as robot:
        robot.reset({TASK!r}, 3)
        window = robot.open_window() if shown else None
        expert = robot.expert()
        for _ in range(20):
            robot.step(expert.act())
            if window is not None:
                robot.render("viewer")
                window.refresh()
                assert window.is_open
        if window is not None:
            window.close()
            assert not window.is_open
        return robot.situation.data.qpos.copy()

sys.exit(not np.array_equal(final_state(False), final_state(True)))
"""


def test_without_a_display_it_says_what_to_do_instead(robot, monkeypatch: pytest.MonkeyPatch):
    assert isinstance(robot, HasWindow)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    robot.reset(TASK, 0)
    with pytest.raises(ConfigurationError, match=r"needs a display.*--output FILE\.mp4"):
        robot.open_window()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("Xvfb"), reason="needs a virtual display")
def test_an_episode_that_is_looked_at_in_a_window_goes_the_same_way():
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        environment = {**os.environ, "DISPLAY": f":{server.stdout.readline().strip()}", "MUJOCO_GL": "egl"}
        done = subprocess.run(
            [sys.executable, "-c", _SHOWN], env=environment, capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr.decode()
    finally:
        server.terminate()
        server.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="displays are named this way on Linux")
def test_a_display_that_is_not_there_is_named(robot):
    code = (
        f"from sop_envs.robots import make_so101\nr = make_so101()\nr.reset({TASK!r}, 0)\n"
        "try:\n    r.open_window()\nexcept Exception as error:\n    print(type(error).__name__, error)"
    )
    environment = {**os.environ, "DISPLAY": ":4711"}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "ConfigurationError No window can be opened on display ':4711'" in shown.stdout

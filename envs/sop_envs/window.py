"""A MuJoCo viewer beside a running episode.

It shows a copy of the state. MuJoCo's viewer recomputes what it shows, which would touch the solver's warm
start, and lets people pull at bodies; looking must not change a run.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import copy
import os
import sys
import threading
from collections.abc import Iterable
from typing import Any

import mujoco

from sop_bench.errors import ConfigurationError
from sop_envs.rendering import HIDDEN_GROUP

_INSTEAD = "Watch a file instead: give --output FILE.mp4 or --rerun FILE.rrd."
_CLOSING_S = 5.0


class MujocoWindow:
    """An open viewer; implements `sop_bench.robot.Window`."""

    def __init__(
        self,
        handle: Any,
        threads: Iterable[threading.Thread],
        model: mujoco.MjModel,
        data: mujoco.MjData,
        shown: mujoco.MjData,
    ) -> None:
        self._handle, self._threads = handle, tuple(threads)
        self._model, self._data, self._shown = model, data, shown

    @property
    def is_open(self) -> bool:
        return self._handle.is_running()

    def refresh(self) -> None:
        with self._handle.lock():
            mujoco.mj_copyData(self._shown, self._model, self._data)
            mujoco.mj_forward(self._model, self._shown)
        self._handle.sync()

    def close(self) -> None:
        if self.is_open:
            self._handle.close()
        for thread in self._threads:  # a process that ends while they still draw crashes
            thread.join(_CLOSING_S)


def open_window(model: mujoco.MjModel, data: mujoco.MjData) -> MujocoWindow:
    """Show `data` through the camera ``viewer``; people may look elsewhere (Esc frees the camera).

    Raises:
        ConfigurationError: There is no display, or no window can be opened on it.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ConfigurationError(
            f"A window needs a display, and DISPLAY and WAYLAND_DISPLAY are not set; allowed: a desktop "
            f"session, or ssh -X. {_INSTEAD}"
        )
    try:
        import glfw

        # The viewer starts GLFW in a thread of its own and would wait for ever if that failed.
        if not glfw.init():
            raise RuntimeError("GLFW cannot be initialised")
        import mujoco.viewer

        shown, before = copy.copy(data), set(threading.enumerate())
        handle = mujoco.viewer.launch_passive(model, shown, show_left_ui=False, show_right_ui=False)
    except (ImportError, RuntimeError, Warning) as error:  # GLFW's errors arrive as warnings
        raise ConfigurationError(
            f"No window can be opened on display {os.environ.get('DISPLAY', '')!r}: {error}. Allowed: a "
            f"display with OpenGL; on macOS, run under mjpython. {_INSTEAD}"
        ) from error
    with handle.lock():
        handle.cam.type = mujoco.mjtCamera.mjCAMERA_FIXED
        handle.cam.fixedcamid = model.camera("viewer").id
        handle.opt.geomgroup[HIDDEN_GROUP] = 0
    threads = set(threading.enumerate()) - before
    return MujocoWindow(handle, threads, model, data, shown)

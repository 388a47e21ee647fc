"""Images, rendered when somebody looks.

One `Renderer` serves every episode of a robot: models are recompiled at each reset, but they consist of
primitives and a cloth at most, so neither the OpenGL context nor MuJoCo's own (which holds meshes and
textures) depends on the model it was made with. Only the scene does, by the size of the cloth.
"""

# MuJoCo's compiled modules come without type stubs:
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from sop_bench.errors import ContractError, RobotFaultError
from sop_bench.robot import CameraSpec
from sop_envs.workcell import BACKDROP_GROUP

_MAX_GEOMS = 300
HIDDEN_GROUP = 3  # collision shapes of products


@dataclass
class _Stage:
    """What rendering needs once it has begun."""

    gl: Any
    context: mujoco.MjrContext
    scene: mujoco.MjvScene
    cloth: tuple[int, ...]


class Renderer:
    """Renders any camera of any model made of primitives; creates its OpenGL context at the first image."""

    def __init__(self, max_height: int, max_width: int) -> None:
        self._max_height, self._max_width = max_height, max_width
        self._stage: _Stage | None = None
        self._option = mujoco.MjvOption()
        self._option.geomgroup[HIDDEN_GROUP] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._perturb = mujoco.MjvPerturb()

    @property
    def started(self) -> bool:
        """An OpenGL context exists."""
        return self._stage is not None

    def render(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        camera: str,
        height: int,
        width: int,
        backdrop: bool = False,
    ) -> NDArray[np.uint8]:
        """An RGB image (height, width, 3) of the present positions in `data`.

        The backdrop (a floor) is for pictures that people look at.

        Raises:
            RobotFaultError: No OpenGL context could be made.
        """
        if self._stage is None:
            self._stage = self._start(model)
        stage = self._stage
        stage.gl.make_current()
        if stage.cloth != _cloth_size(model):
            stage.scene, stage.cloth = _empty_scene(model), _cloth_size(model)
        # After mj_step the geoms lag one physics step behind qpos. Kinematics alone brings them up to date
        # and, unlike mj_forward, leaves the solver's warm start as it is: looking must not change a run.
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        self._option.geomgroup[BACKDROP_GROUP] = backdrop
        self._camera.fixedcamid = model.camera(camera).id
        mujoco.mjv_updateScene(
            model, data, self._option, self._perturb, self._camera, mujoco.mjtCatBit.mjCAT_ALL, stage.scene
        )
        viewport = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(viewport, stage.scene, stage.context)
        image = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_readPixels(image, None, viewport, stage.context)
        return np.ascontiguousarray(image[::-1])  # OpenGL counts rows from below

    def close(self) -> None:
        """Free the OpenGL context; the next image makes a new one."""
        if self._stage is not None:
            self._stage.context.free()
            self._stage.gl.free()
        self._stage = None

    def _start(self, model: mujoco.MjModel) -> _Stage:
        try:
            gl = _gl_context(self._max_width, self._max_height)
            gl.make_current()
        except (ImportError, RuntimeError, AttributeError) as error:
            raise RobotFaultError(
                f"No OpenGL context for images (MUJOCO_GL={os.environ.get('MUJOCO_GL', '')!r}): {error}. "
                f"Allowed: egl, osmesa, glfw. On a machine without a display install Mesa's EGL (libegl1)."
            ) from error
        # EGL shuts down at exit: free before that, or every run would end with an ignored exception.
        atexit.register(_close_if_alive, weakref.ref(self))
        model.vis.global_.offwidth, model.vis.global_.offheight = self._max_width, self._max_height
        context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
        return _Stage(gl, context, _empty_scene(model), _cloth_size(model))


def _cloth_size(model: mujoco.MjModel) -> tuple[int, ...]:
    """What the buffers of an `MjvScene` depend on."""
    return model.nflex, model.nflexvert, model.nflexedge, model.nflexelem, model.nflexshelldata


def _empty_scene(model: mujoco.MjModel) -> mujoco.MjvScene:
    scene = mujoco.MjvScene(model, maxgeom=_MAX_GEOMS)
    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
        scene.flags[flag] = 0
    return scene


def _close_if_alive(renderer: weakref.ref[Renderer]) -> None:
    alive = renderer()
    if alive is not None:
        alive.close()


def _gl_context(width: int, height: int) -> Any:
    """A context from the back end named by MUJOCO_GL; EGL where there is no display.

    MuJoCo itself chooses at its first import, which may be long before anybody sets the variable.
    """
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")
    # Mesa would hand these small pictures to a thread per core, which costs more than it gains and takes the
    # cores from other robots. It draws the same pixels in the calling thread. Read when the driver starts.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    backend = os.environ.get("MUJOCO_GL", "").lower()
    if backend == "egl":
        from mujoco.egl import GLContext
    elif backend == "osmesa":
        from mujoco.osmesa import GLContext
    else:
        from mujoco.gl_context import GLContext
    return GLContext(width, height)


class LazyImages(Mapping[str, NDArray[np.uint8]]):
    """The images of one observation: rendered at first access, kept, refused once the robot has moved on."""

    def __init__(
        self,
        cameras: tuple[CameraSpec, ...],
        render: Callable[[CameraSpec], NDArray[np.uint8]],
        is_current: Callable[[], bool],
    ) -> None:
        self._cameras = {camera.name: camera for camera in cameras}
        self._render, self._is_current = render, is_current
        self._rendered: dict[str, NDArray[np.uint8]] = {}

    def __getitem__(self, name: str) -> NDArray[np.uint8]:
        if name not in self._rendered:
            if name not in self._cameras:
                raise KeyError(name)
            if not self._is_current():
                raise ContractError(
                    f"Image {name!r} was first asked for after its robot had moved on; images are rendered "
                    f"on demand. Read observation.images[{name!r}] before the next step or reset."
                )
            self._rendered[name] = self._render(self._cameras[name])
        return self._rendered[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cameras)

    def __len__(self) -> int:
        return len(self._cameras)

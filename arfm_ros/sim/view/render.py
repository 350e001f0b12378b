"""Offscreen camera images of a world, and the intrinsics that go with them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import radians, tan

import mujoco
import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError

NO_GL = (
    "cannot open an offscreen OpenGL context (MUJOCO_GL={gl}): {cause}. Install the Debian "
    "packages libegl1 libgl1-mesa-dri, or libosmesa6 and set MUJOCO_GL=osmesa"
)


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Pinhole camera without distortion; `fx`, `fy`, `cx`, `cy` in pixels."""

    height: int
    width: int
    fx: float
    fy: float
    cx: float
    cy: float


def intrinsics(model: mujoco.MjModel, camera: str, height: int, width: int) -> Intrinsics:
    """Return the pinhole model of a camera from its vertical field of view (square pixels)."""
    fovy = radians(float(model.camera(camera).fovy[0]))
    focal = 0.5 * height / tan(0.5 * fovy)
    return Intrinsics(height, width, focal, focal, width / 2, height / 2)


@dataclass(frozen=True, slots=True)
class SceneState:
    """All that a picture depends on, copied out of a running world."""

    qpos: NDArray[np.float64]
    mocap_pos: NDArray[np.float64]
    mocap_quat: NDArray[np.float64]

    @classmethod
    def of(cls, data: mujoco.MjData) -> SceneState:
        """Copy it from a world's data."""
        return cls(data.qpos.copy(), data.mocap_pos.copy(), data.mocap_quat.copy())


class Stage:
    """Data of its own for pictures, so that drawing never holds up the physics."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self.data = mujoco.MjData(model)

    def show(self, state: SceneState) -> None:
        """Take over a state and compute only what a picture needs of it."""
        data = self.data
        data.qpos[:] = state.qpos
        data.mocap_pos[:], data.mocap_quat[:] = state.mocap_pos, state.mocap_quat
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_comPos(self._model, data)
        mujoco.mj_camlight(self._model, data)


class Renderer:
    """Renders named cameras of one model; use it in the thread that made it (one GL context).

    Without cameras it opens no context: a machine without OpenGL runs physics all the same.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        height: int = 240,
        width: int = 320,
        cameras: Sequence[str] = ("scene", "wrist"),
    ) -> None:
        known = [model.camera(i).name for i in range(model.ncam)]
        unknown = [name for name in cameras if name not in known]
        if unknown:
            raise ConfigError(
                f"no camera {', '.join(unknown)} in the scene, there are: {', '.join(known)}"
            )
        self.cameras = tuple(cameras)
        self.intrinsics = {name: intrinsics(model, name, height, width) for name in cameras}
        self._renderer = _open(model, height, width) if cameras else None
        self._option = mujoco.MjvOption()
        self._option.geomgroup[4] = 0

    def render(self, data: mujoco.MjData, camera: str) -> NDArray[np.uint8]:
        """Return a new image [H, W, 3] RGB; `data` needs fresh kinematics (see `Stage`)."""
        if self._renderer is None:
            raise ConfigError(f"camera '{camera}': the renderer was opened without cameras")
        self._renderer.update_scene(data, camera, self._option)
        return self._renderer.render()

    def close(self) -> None:
        """Free the GL context; a second call does nothing."""
        if self._renderer is not None:
            self._renderer.close()


def _open(model: mujoco.MjModel, height: int, width: int) -> mujoco.Renderer:
    gl = os.environ.get("MUJOCO_GL", "default")
    screen = model.vis.global_
    largest = screen.offwidth, screen.offheight
    try:
        # All of the buffer is cleared for each picture: one that is larger costs for nothing.
        screen.offwidth, screen.offheight = min(width, largest[0]), min(height, largest[1])
        renderer = mujoco.Renderer(model, height, width)
    except (mujoco.FatalError, ImportError, AttributeError, RuntimeError, OSError) as cause:
        # What a missing or broken GL raises differs between MuJoCo's three back ends.
        raise ConfigError(NO_GL.format(gl=gl, cause=cause)) from cause
    finally:
        screen.offwidth, screen.offheight = largest
    return renderer

"""The table-top scene: which objects exist, where unused ones are kept, how they are placed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import as_file, files
from math import cos, sin

import mujoco
import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError

F64 = NDArray[np.float64]

OBJECTS = ("cube", "puck", "marker", "zone", "bin")
FREE_OBJECTS = ("cube", "puck")
CUBE_SIDE_M = 0.045
PUCK_RADIUS_M, PUCK_HEIGHT_M = 0.03, 0.04
MARKER_RADIUS_M = 0.02
ZONE_RADIUS_M = 0.06
BIN_SIDE_M, BIN_HEIGHT_M, BIN_WALL_M = 0.16, 0.08, 0.008
CAMERAS = ("scene", "wrist")


def load_model() -> mujoco.MjModel:
    """Compile the scene of the installed package."""
    with as_file(files("arfm_ros.sim") / "assets") as folder:
        return mujoco.MjModel.from_xml_path(str(folder / "scene.xml"))


class Objects:
    """Places and finds the scene's objects in one model and its data."""

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, names: Sequence[str] = OBJECTS
    ) -> None:
        self._model, self._data, self._names = model, data, tuple(names)
        self._body = {name: model.body(name).id for name in names}
        self._free = {name: model.joint(name) for name in FREE_OBJECTS}
        self._parked = {name: model.body(name).pos.copy() for name in names}

    def park(self) -> None:
        """Put every object under the floor, where no camera sees it and nothing touches it."""
        for name in self._names:
            self.place(name, self._parked[name])
        self.float_parked()

    def place(self, name: str, position: Sequence[float] | F64, yaw_rad: float = 0.0) -> None:
        """Move one object, at rest; raise ConfigError for a name that the scene does not have."""
        self._check(name)
        quaternion = (cos(yaw_rad / 2), 0.0, 0.0, sin(yaw_rad / 2))
        if name in self._free:
            joint = self._free[name]
            q, v = int(joint.qposadr[0]), int(joint.dofadr[0])
            self._data.qpos[q : q + 3] = position
            self._data.qpos[q + 3 : q + 7] = quaternion
            self._data.qvel[v : v + 6] = 0.0
            self._data.qacc_warmstart[v : v + 6] = 0.0
            self.float_parked()
        else:
            mocap = int(self._model.body_mocapid[self._body[name]])
            self._data.mocap_pos[mocap] = position
            self._data.mocap_quat[mocap] = quaternion

    def float_parked(self) -> None:
        """Let gravity act on placed objects only: a parked one floats and costs no contacts."""
        for name, joint in self._free.items():
            height = float(self._data.qpos[int(joint.qposadr[0]) + 2])
            parked = abs(height - float(self._parked[name][2])) < 1e-3
            self._model.body_gravcomp[self._body[name]] = 1.0 if parked else 0.0

    def _check(self, name: str) -> None:
        if name not in self._body:
            known = ", ".join(self._names)
            raise ConfigError(f"no object {name!r} in the scene, there are: {known}")

    def pose(self, name: str) -> tuple[F64, F64]:
        """Return position [3] and quaternion xyzw [4] of an object."""
        if name in self._free:
            q = int(self._free[name].qposadr[0])
            state = self._data.qpos[q : q + 7]
            return state[:3].copy(), state[[4, 5, 6, 3]]
        self._check(name)
        mocap = int(self._model.body_mocapid[self._body[name]])
        return self._data.mocap_pos[mocap].copy(), self._data.mocap_quat[mocap][[1, 2, 3, 0]]

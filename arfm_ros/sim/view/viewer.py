"""MuJoCo's own window onto a world, where there is a display."""

from __future__ import annotations

import mujoco

from arfm_ros.core.errors import ConfigError
from arfm_ros.sim.view.gl import has_display
from arfm_ros.sim.view.render import SceneState, Stage


class Viewer:
    """A passive viewer with its own copy of the state, so that it never waits for the physics."""

    def __init__(self, model: mujoco.MjModel) -> None:
        if not has_display():
            raise ConfigError("the viewer needs a display, DISPLAY is not set: leave `view` off")
        import mujoco.viewer  # opens GLFW, so only where it is wanted

        self._stage = Stage(model)
        self._window = mujoco.viewer.launch_passive(
            model, self._stage.data, show_left_ui=False, show_right_ui=False
        )

    def show(self, state: SceneState) -> None:
        """Draw a state; does nothing once the user has closed the window."""
        if not self._window.is_running():
            return
        with self._window.lock():
            self._stage.show(state)
        self._window.sync()

    def close(self) -> None:
        """Close the window."""
        self._window.close()

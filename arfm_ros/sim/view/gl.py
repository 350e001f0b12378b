"""The choice of MuJoCo's OpenGL back end, which must be made before MuJoCo's first import."""

from __future__ import annotations

import os
import sys

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def has_display() -> bool:
    """Tell whether a window can be expected to open here."""
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in DISPLAYS)


def choose_gl() -> None:
    """Set MUJOCO_GL=egl on a machine without a display, unless the user has chosen."""
    if not has_display():
        os.environ.setdefault("MUJOCO_GL", "egl")
    # Mesa's software renderer: at camera size its own threads cost more than they bring.
    os.environ.setdefault("LP_NUM_THREADS", "0")

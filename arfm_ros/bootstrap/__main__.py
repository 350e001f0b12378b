"""Make the environment, install what the verb needs, run the command line in it."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from arfm_ros.bootstrap.environment import Environment
from arfm_ros.bootstrap.system import BootstrapError, install_compiler, install_gl, say
from arfm_ros.bootstrap.wanted import environment_of, extras_wanted, missing_files

ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = "rtx"  # 230 MB that not every index and machine has
GUARD = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"  # inherited, it would keep the ROS wheels from loading


def main(words: Sequence[str]) -> int:
    """Prepare the environment of `./arfm WORDS` and become its command line; 1 where it fails."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    environment = Environment(ROOT, environment_of(words))
    try:
        missing = missing_files(ROOT, words)
        if missing:
            raise BootstrapError(missing)
        with (ROOT / "arfm").open() as lock:  # one call at a time sets up
            _take_turn(lock, environment)
            prepare(environment, words)
    except BootstrapError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    os.environ.pop(GUARD, None)
    python = str(environment.python)
    os.execv(python, [python, "-m", "arfm_ros.cli", *words])


def _take_turn(lock: IO[str], environment: Environment) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"another call of ./arfm installs; waiting for it (its log: {environment.log})")
        fcntl.flock(lock, fcntl.LOCK_EX)


def prepare(environment: Environment, words: Sequence[str]) -> None:
    """Install what is missing; the tests go on without what they can skip."""
    environment.make()
    missing = environment.missing(extras_wanted(ROOT, words, environment.over_ros))
    if "sim" in missing:
        install_gl()
    if "lerobot" in missing:
        install_compiler()
    optional = OPTIONAL in missing and list(words[:1]) == ["test"]
    needed = [extra for extra in missing if not (optional and extra == OPTIONAL)]
    if needed:
        environment.install(needed)
    if not optional:
        return
    try:
        environment.install([OPTIONAL])
    except BootstrapError as error:
        say(f"{error}; going on without TensorRT for RTX: its tests are skipped")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

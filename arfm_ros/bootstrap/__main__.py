"""Make the environment, install what the verb needs, run the command line in it."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from arfm_ros.bootstrap.environment import Environment
from arfm_ros.bootstrap.system import BootstrapError, install_gl, say
from arfm_ros.bootstrap.wanted import environment_of, extras_wanted

ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = "rtx"  # 230 MB that not every index and machine has
GUARD = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"  # inherited, it would keep the ROS wheels from loading


def main(words: Sequence[str]) -> int:
    """Prepare the environment of `./arfm WORDS` and become its command line; 1 where it fails."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    environment = Environment(ROOT, environment_of(words))
    try:
        with (ROOT / "arfm").open() as lock:  # one call at a time sets up
            fcntl.flock(lock, fcntl.LOCK_EX)
            prepare(environment, words)
    except BootstrapError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    os.environ.pop(GUARD, None)
    python = str(environment.python)
    os.execv(python, [python, "-m", "arfm_ros.cli", *words])


def prepare(environment: Environment, words: Sequence[str]) -> None:
    """Install what is missing; the tests go on without what they can skip."""
    environment.make()
    missing = environment.missing(extras_wanted(ROOT, words, environment.over_ros))
    if "sim" in missing:
        install_gl()
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

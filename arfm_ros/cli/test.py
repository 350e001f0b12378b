"""Run the tests of the package."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

from arfm_ros.bringup import share
from arfm_ros.core.errors import ConfigError

HELP = "run every test (--slow: also those that take minutes; --vla: those that need LeRobot)"
EXTRAS = ("ros", "sim", "train", "dev", "remote", "arms", "rtx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `arfm test`."""
    parser.add_argument("--slow", action="store_true", help="also run the tests that take minutes")
    parser.add_argument(
        "--vla", action="store_true", help="run only the tests that need LeRobot, in .venv-vla"
    )
    parser.add_argument("words", nargs=argparse.REMAINDER, help="passed on to pytest")


def run(args: argparse.Namespace) -> int:
    """Run pytest in the source tree and return its exit status."""
    root = share("config").parent
    if not (root / "test").is_dir():
        raise ConfigError(f"{root} has no test folder: run ./arfm test in a source tree")
    chosen = ["-m", "not vla"] if args.slow else []
    if args.vla:
        chosen = ["-m", "vla", *_vla_tests(root)]
    begin = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-ra", "--durations=5", *chosen, *args.words]
    env = os.environ | ({"HF_HUB_OFFLINE": "1"} if args.vla else {})  # nothing is downloaded
    status = subprocess.run(command, cwd=root, env=env, check=False).returncode
    verdict = "all tests passed" if status == 0 else f"tests failed (pytest status {status})"
    print(f"arfm test: {verdict} in {time.monotonic() - begin:.0f} s")
    return status


def _vla_tests(root: Path) -> list[str]:
    """List the files whose tests need LeRobot; the others do not import in its environment."""
    if importlib.util.find_spec("lerobot") is None:
        raise ConfigError(
            "this Python has no LeRobot: run ./arfm test --vla, which makes .venv-vla with it; or "
            "install '.[lerobot]' into an environment of its own and run it there"
        )
    return [str(path) for path in sorted((root / "test").glob("test_vla_*.py"))]

"""Run the tests of the package."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from arfm_ros.bringup import share
from arfm_ros.core.errors import ConfigError

HELP = "run every test (--slow: also those that take minutes)"
EXTRAS = ("ros", "sim", "train", "dev", "remote", "rtx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `arfm test`."""
    parser.add_argument("--slow", action="store_true", help="also run the tests that take minutes")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="passed on to pytest")


def run(args: argparse.Namespace) -> int:
    """Run pytest in the source tree and return its exit status."""
    root = share("config").parent
    if not (root / "test").is_dir():
        raise ConfigError(f"{root} has no test folder: run ./arfm test in a source tree")
    chosen = ["-m", "slow or not slow"] if args.slow else []
    begin = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-ra", "--durations=5", *chosen, *args.words]
    status = subprocess.run(command, cwd=root, check=False).returncode
    verdict = "all tests passed" if status == 0 else f"tests failed (pytest status {status})"
    print(f"arfm test: {verdict} in {time.monotonic() - begin:.0f} s")
    return status

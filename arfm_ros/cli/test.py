"""Run the tests of the package."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from arfm_ros.bringup import share
from arfm_ros.core.errors import ConfigError

HELP = "run every test (--slow: also those that take minutes; --vla: those that need LeRobot)"
EXTRAS = (
    "ros",
    "sim",
    "train",
    "dev",
    "remote",
    "arms",
    "datasets",
    "console",
    "show",
    "fleet",
    "s3server",
    "rtx",
)
LANES = ("robot", "other")  # tests that start a robot's processes mostly wait; the others compute
NONE_COLLECTED = 5  # pytest's exit status
POLITENESS = 10
BENCHMARK = "test_benchmark_"  # of its files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `arfm test`."""
    parser.add_argument("--slow", action="store_true", help="also run the tests that take minutes")
    parser.add_argument(
        "--vla", action="store_true", help="run only the tests that need LeRobot, in .venv-vla"
    )
    parser.add_argument(
        "--benchmark",
        default="",
        metavar="NAME",
        help="run only the tests of an environment of others, in one of its own: metaworld",
    )
    parser.add_argument(
        "--one-by-one",
        action="store_true",
        help="run all in one process; else tests of running robots beside those that compute",
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
    if args.benchmark:
        chosen = [str(_benchmark_tests(root, args.benchmark))]
    command = [sys.executable, "-m", "pytest", "-q", "-ra", "--durations=5", *chosen, *args.words]
    env = os.environ | ({"HF_HUB_OFFLINE": "1"} if args.vla else {})  # nothing is downloaded
    begin = time.monotonic()
    alone = args.vla or args.benchmark or args.words
    if alone or args.one_by_one or (os.cpu_count() or 1) < len(LANES):
        status = subprocess.run(command, cwd=root, env=env, check=False).returncode
    else:
        status = _side_by_side(command, root, env)
    verdict = "all tests passed" if status == 0 else f"tests failed (pytest status {status})"
    print(f"arfm test: {verdict} in {time.monotonic() - begin:.0f} s")
    return status


def _side_by_side(command: list[str], root: Path, env: dict[str, str]) -> int:
    """Run both lanes at once, the computing one politely; show its output after the other's."""
    robot, other = ([*command, f"--lane={lane}"] for lane in LANES)
    with tempfile.TemporaryFile() as said:
        beside = subprocess.Popen(
            other,
            cwd=root,
            env=env,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_make_way,
        )
        try:
            first = subprocess.run(robot, cwd=root, env=env, check=False).returncode
            second = beside.wait()
        finally:
            _end(beside)
        said.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(said.read())
    return next((status for status in (first, second) if status not in (0, NONE_COLLECTED)), 0)


def _make_way() -> None:
    """Let the robots' processes go first, also where the kernel groups processes by session."""
    os.nice(POLITENESS)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(POLITENESS))


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        process.wait()


def _benchmark_tests(root: Path, name: str) -> Path:
    """Find the tests of an environment of others. Raises `ConfigError` without it."""
    files = (root / "test").rglob(f"{BENCHMARK}*.py")
    found = {one.stem.removeprefix(BENCHMARK): one for one in files}
    if name not in found:
        raise ConfigError(f"--benchmark '{name}' is unknown, needs one of {', '.join(found)}")
    if importlib.util.find_spec(name) is None:
        raise ConfigError(
            f"this Python has no {name}: run ./arfm test --benchmark {name}, which makes "
            f".venv-{name} with it"
        )
    return found[name]


def _vla_tests(root: Path) -> list[str]:
    """List the files whose tests need LeRobot; the others do not import in its environment."""
    if importlib.util.find_spec("lerobot") is None:
        raise ConfigError(
            "this Python has no LeRobot: run ./arfm test --vla, which makes .venv-vla with it; or "
            "install '.[lerobot]' into an environment of its own and run it there"
        )
    return [str(path) for path in sorted((root / "test").rglob("test_vla_*.py"))]

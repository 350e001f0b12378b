"""Let a bundle prove itself in a process of its own, which may crash, hang or fill the memory.

What a stranger's graph does inside a native runtime cannot be caught by the process that drives a
robot: it can only be kept out of it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from arfm_ros.core.errors import ArfmError, BundleError
from arfm_ros.engines.bundle import load_bundle
from arfm_ros.engines.gate.proof import prove
from arfm_ros.engines.gate.reference import load_reference
from arfm_ros.engines.gate.replay import replay
from arfm_ros.engines.load import load_policy
from arfm_ros.workers import end_with_parent

MODULE = "arfm_ros.engines.gate.trial"
PACKAGE_PARENT = Path(__file__).resolve().parents[3]
POLITENESS = 10
WORDS_MAX = 2000


@dataclass(frozen=True, slots=True)
class Engine:
    """On what a bundle is to run."""

    engine: str = "onnx"
    precision: str = ""
    threads: int = 1
    providers: tuple[str, ...] = ("default",)


def require_proof(folder: Path, on: Engine, timeout_s: float, keep: bool = False) -> None:
    """Replay the reference of the bundle in `folder` in another process, which has `timeout_s`.

    `keep`: the record is written as `arfm check` does. Raises `BundleError` for whatever keeps
    it from passing.
    """
    words = [str(folder), on.engine, on.precision, str(on.threads), *on.providers]
    paths = [str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", MODULE, *["--keep"] * keep, "--", str(os.getpid()), *words],
            env=env,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError(
            f"bundle {folder} did not prove itself within {timeout_s:g} s (swap_timeout_s)"
        ) from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise BundleError(f"bundle {folder} ended the process that tried it: {name}")
    if done.returncode != 0:
        words_said = done.stdout or done.stderr  # ours, or the last line of a traceback
        said = words_said.decode(errors="replace").strip().splitlines()[-1:]
        raise BundleError(said[0][:WORDS_MAX] if said else f"bundle {folder} cannot be tried")


def main(arguments: Sequence[str] | None = None) -> int:
    """Try one bundle; print why it does not pass."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parent", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("engine")
    parser.add_argument("precision")
    parser.add_argument("threads", type=int)
    parser.add_argument("providers", nargs="+")
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args(arguments)
    end_with_parent(signal.SIGKILL, args.parent)
    os.nice(POLITENESS)
    try:
        policy = load_policy(
            args.folder,
            engine=args.engine,
            precision=args.precision,
            threads=args.threads,
            providers=args.providers,
        )
        if args.keep:
            found = prove(load_bundle(args.folder), policy)  # type: ignore[arg-type]
        else:
            found = asdict(replay(policy, load_reference(args.folder)))  # type: ignore[arg-type]
    except ArfmError as error:
        print(" ".join(str(error).split()))
        return 1
    if not found["passed"]:
        print(
            f"policy {json.dumps(policy.spec.name)} differs from its reference on this machine by "
            f"{found['max_chunk_error']:.1e} per chunk: run `arfm check`"
        )
    return int(not found["passed"])


if __name__ == "__main__":
    sys.exit(main())

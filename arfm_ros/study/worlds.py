"""Studies in other environments: their own `arfm demos` and `arfm eval`, as a user calls them.

Each of these pins a simulator of its own, which is not that of the process that trains.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import ConfigError
from arfm_ros.export.bundle import export_bundle
from arfm_ros.learn.loop.checkpoint import load_checkpoint
from arfm_ros.sim.record.batch import Batch

NS = 1_000_000_000


def record(batch: Batch, world: str, quality: str, workers: int) -> str:
    """Record what is missing of a batch of demonstrations; returns the command."""
    words = ["demos", "--env", world, *_repeated(batch.tasks), "--episodes", str(batch.count)]
    words += ["--no-images", "--quality", quality]
    if any(not folder.exists() for _, _, folder in batch.jobs()):
        _call([*words, "--workers", str(workers), "--out", str(batch.out)])
    return " ".join(["./arfm", *words])


def measure(run: Path, cache: Path, world: str, tasks: Sequence[str], seeds: range) -> list[Any]:
    """Let the policy of a run act from every seed of every task.

    `cache` holds the frames it was trained on, which its export is checked with. Returns for each
    task `success` (1 or 0) and `seconds` of every episode, until success or the task's limit.
    """
    if not (beside := run / "cache").exists():
        beside.symlink_to(cache.resolve())  # where an export looks for them
    bundle = run / "bundle"
    export_bundle(run, bundle, run.name, threads=1, say=lambda text: None)
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "episodes.json"
        _call(
            ["eval", str(bundle), "--env", world, *_repeated(tasks), "--json", str(found)]
            + ["--episodes", str(len(seeds)), "--seed", str(seeds.start), "--workers", "1"]
        )
        episodes = json.loads(found.read_text())["episodes"]
    step_s = load_checkpoint(run).spec.dt_ns / NS
    return [
        {
            "task": task,
            "success": [int(e["success"]) for e in episodes if e["task"] == task],
            "seconds": [e["steps"] * step_s for e in episodes if e["task"] == task],
        }
        for task in tasks
    ]


def _repeated(tasks: Sequence[str]) -> list[str]:
    return [word for task in tasks for word in ("--task", task)]


def _call(words: Sequence[str]) -> None:
    """Run a command line in the environment that `./arfm` keeps for it, else in this one.

    Raises `ConfigError` with its last words if it fails.
    """
    launcher = Path(__file__).resolve().parents[2] / "arfm"
    installed = Path(sys.executable).with_name("arfm")
    begin = launcher if launcher.is_file() else installed
    done = subprocess.run([begin, *words], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise ConfigError(f"arfm {' '.join(words[:3])} failed: {' / '.join(last)}")

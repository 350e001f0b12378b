"""Rounds of improvement of a tiny policy, as processes that a test may kill."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--steps", "4", "--batch", "8", "--threads", "1", "--precision", "fp32")
SHORT = ("--task", "reach", "--eval-episodes", "1", "--workers", "1")
WAIT_S = 300.0


def begin(bundle: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """Start `arfm improve` with few steps and episodes."""
    words = ["improve", str(bundle), "--out", str(out), *SHORT, *QUICK, *options]
    return subprocess.Popen(
        [sys.executable, "-m", "arfm_ros.cli", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for its end and return what it said."""
    text, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, text
    return text


def kill(process: subprocess.Popen[str]) -> None:
    """End it as a power cut would."""
    process.kill()
    process.communicate()


def rows(out: Path) -> list[dict]:
    """Read the journal."""
    return [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]


def done(journal: Sequence[dict]) -> list[str]:
    """Name the steps that were done, in order."""
    return [row["step"] for row in journal if row.get("done")]

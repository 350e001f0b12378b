"""Run the parts one after another, each in a process with a time limit of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from arfm_ros.bench.gpu.parts import DEVICES, MOST_S, PARTS, Part, Setting
from arfm_ros.core.errors import ConfigError

PACKAGE = "arfm_ros.bench.gpu"  # whose modules the parts name
TOLD = 500  # characters of what a process said when it broke
LEAST_S = 3.0  # left over, below which no part is begun
Say = Callable[[str], None]


def run_all(
    setting: Setting,
    seconds: float = MOST_S,
    file: Path | None = None,
    say: Say = print,
    parts: Sequence[Part] = PARTS,
) -> dict[str, Any]:
    """Run every part within `seconds` in all; write what there is to `file` after each.

    A part that breaks, is ended by its limit, or misses a package costs itself alone. Raises
    `ConfigError` for a device or a time that there is not.
    """
    if setting.device not in DEVICES or not 0 < seconds <= MOST_S:
        raise ConfigError(
            f"--device {setting.device}, --seconds {seconds:g}: needs one of "
            f"{', '.join(DEVICES)}, and more than 0, at most {MOST_S:g}"
        )
    begin = time.monotonic()
    found: dict[str, Any] = {"device": setting.device, "tiny": setting.tiny, "parts": {}}
    for part in parts:
        left = seconds - (time.monotonic() - begin)
        result = _run(part, setting, min(part.limit_s, left)) if left > LEAST_S else _late()
        name = f"{part.name}, on the CPU" if setting.tiny else part.name
        found["parts"][name] = result
        found["seconds"] = round(time.monotonic() - begin, 1)
        say(f"{found['seconds']:5.0f} s: {name}: {told(result)}")
        if part.name == "floors":
            setting = replace(setting, floors=result["found"])
        if file is not None:
            file.write_text(json.dumps(found, indent=1) + "\n")
    return found


def told(result: dict[str, Any]) -> str:
    """Say in a line how a part ended."""
    why = f": {result['why']}" if result["why"] else f" in {result['seconds']:.1f} s"
    return f"{result['state']}{why}"


def _late() -> dict[str, Any]:
    why = "the time of the whole run was used up before it"
    return {"state": "skipped", "why": why, "seconds": 0.0, "found": {}}


def _run(part: Part, setting: Setting, limit_s: float) -> dict[str, Any]:
    """Run one part; `state` is done, skipped (why it cannot run here), failed or stopped."""
    with tempfile.TemporaryDirectory() as folder:
        job, results, errors = (Path(folder) / name for name in ("job", "results", "errors"))
        text = {"module": f"{PACKAGE}.{part.module}", "setting": setting.as_json()}
        job.write_text(json.dumps(text | {"arguments": dict(part.arguments)}))
        begin = time.monotonic()
        state, why = _watch([str(job), str(results)], errors, limit_s)
        taken = round(time.monotonic() - begin, 2)
        found: dict[str, Any] = json.loads(results.read_text()) if results.is_file() else {}
    if state == "done" and "skipped" in found:
        state, why = "skipped", str(found.pop("skipped"))
    return {"state": state, "why": why, "seconds": taken, "found": found}


def _watch(words: list[str], errors: Path, limit_s: float) -> tuple[str, str]:
    """Wait for the process of a part and end it, with all that it started, at its limit."""
    with errors.open("wb") as told_to:
        process = subprocess.Popen(
            [sys.executable, "-m", "arfm_ros.bench.gpu.child", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=told_to,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return "stopped", f"at its limit of {limit_s:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code == 0:
        return "done", ""
    lines = errors.read_text(errors="replace").strip().splitlines()
    last = lines[-1] if lines else "it said nothing"
    return "failed", f"exit status {code}: {last[-TOLD:]}"

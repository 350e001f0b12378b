"""What a run folder has seen: one JSON line per event, appended, never rewritten."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from arfm_ros.core.errors import ConfigError

NAME, LOCK = "journal.jsonl", "lock"
PLAN, DONE = "plan", "done"


class Journal:
    """The steps of a run; a context manager that keeps other processes out of the folder.

    A line is on the disk before the next step begins. The half line of a process that was killed
    is passed over, and its step is done again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / LOCK).open("w")
        except OSError as error:
            raise ConfigError(f"cannot use {folder} as run folder: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise ConfigError(
                f"another process is at work in {folder}: wait for it or choose another --out"
            ) from None
        self._results = {row["step"]: row["result"] for row in self._rows() if DONE in row}

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.close()

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Note what the run is about. Raises `ConfigError` naming what differs from before."""
        plan = json.loads(json.dumps(plan))  # as it reads back
        before = self._results.get(PLAN)
        if before is None:
            strange = [p.name for p in self._folder.iterdir() if p.name not in {NAME, LOCK}]
            if strange:
                raise ConfigError(
                    f"{self._folder} holds {min(strange)} but no {NAME}: choose another --out"
                )
            self._done(PLAN, plan, 0.0)
            return
        names = [n for n in {**before, **plan} if before.get(n) != plan.get(n)]
        if names:
            said = "; ".join(f"{n} was {before.get(n)}, is {plan.get(n)}" for n in sorted(names))
            raise ConfigError(
                f"{self._folder} holds a run with other options ({said}): give those again, "
                "or choose another --out"
            )

    def once(self, step: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what `step` gave when it was done, or do it now and note that."""
        if step not in self._results:
            self._append({"step": step})
            began = time.monotonic()
            self._done(step, work(), time.monotonic() - began)
        result: dict[str, Any] = self._results[step]
        return result

    def has(self, step: str) -> bool:
        """Tell whether a step is done."""
        return step in self._results

    def _done(self, step: str, result: Mapping[str, Any], seconds: float) -> None:
        row = {"step": step, DONE: True, "seconds": round(seconds, 1), "result": result}
        self._append(row)
        self._results[step] = json.loads(json.dumps(result))

    def _append(self, row: Mapping[str, Any]) -> None:
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        text = json.dumps({"at": at, **row}) + "\n"
        with self._path.open("ab+") as file:
            if file.tell() and not _ends_with_newline(file):
                text = "\n" + text  # after the half line of a process that was killed
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    def _rows(self) -> list[dict[str, Any]]:
        rows = []
        for line in self._path.read_bytes().splitlines() if self._path.exists() else []:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and "step" in row:
                rows.append(row)
        return rows


def _ends_with_newline(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")

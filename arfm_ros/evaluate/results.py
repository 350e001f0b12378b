"""Finished episodes of an evaluation in a file, so that an interrupted one goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import ConfigError
from arfm_ros.evaluate.rollout import RolloutResult

WHAT = "cell"  # key of a file's first line: what was evaluated and how


class Results:
    """One line of JSON for each episode of one cell: bundle, task and configuration."""

    def __init__(self, folder: Path, cell: dict[str, Any]) -> None:
        text = json.dumps(cell, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.path = folder / f"{cell['task']}_{key}.jsonl"
        if self.path.exists():
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps({WHAT: cell}) + "\n")
        except OSError as error:
            raise ConfigError(f"cannot write to {folder} ({error}): other --out") from error

    def read(self) -> dict[int, RolloutResult]:
        """Return the finished episodes by seed; a last line that was cut off does not count."""
        found = {}
        for line in self.path.read_text().splitlines():
            try:
                raw = json.loads(line)
            except json.JSONDecodeError:
                continue
            if WHAT not in raw:
                result = RolloutResult.from_json(raw)
                found[result.seed] = result
        return found

    def keep(self, results: Iterable[RolloutResult]) -> Iterable[RolloutResult]:
        """Write each result down as it passes."""
        cut_off = not self.path.read_text().endswith("\n")
        with self.path.open("a") as file:
            file.write("\n" if cut_off else "")
            for result in results:
                file.write(json.dumps(asdict(result)) + "\n")
                file.flush()
                yield result

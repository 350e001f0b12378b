"""What a run says of its data: while it begins, and in its checkpoints."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.loop.checkpoint import machine
from arfm_ros.learn.model.network import FlowPolicy

if TYPE_CHECKING:
    from arfm_ros.learn.loop.begin import Plan


def introduce(frames: Frames, model: FlowPolicy, say: Callable[[str], None]) -> None:
    """Say what there is to learn from."""
    for episode in frames.skipped:
        say(f"skipped {episode}")
    for note in frames.notes:
        say(note)
    size = sum(p.numel() for p in model.parameters())
    left = f" ({len(frames.skipped)} more skipped)" if frames.skipped else ""
    say(
        f"{len(frames)} observations of {len(frames.tasks)} episodes{left}, "
        f"{size / 1e6:.2f} M weights"
    )


def name_outliers(count: int, of: int, limit: float, say: Callable[[str], None]) -> None:
    """Say how many observations were left out."""
    if count:
        say(
            f"left out {count} of {of} observations: actions further than {limit:g} standard "
            "deviations from the mean (--outlier, --statistics)"
        )


def provenance(plan: Plan, frames: Frames, command: str) -> dict[str, Any]:
    """Tell what a run was made of, for its checkpoints."""
    steps = Counter(np.asarray(frames.tasks)[frames.episode].tolist())
    data = {
        task: {"episodes": count, "observations": steps[task]}
        for task, count in sorted(Counter(frames.tasks).items())
    }
    options = asdict(plan.train)
    if plan.interventions is not None:
        options["interventions"] = asdict(plan.interventions)
    made_by = [line for root in plan.data for line in _data_commands(root)]
    return {
        "command": command,
        "data": data,
        "data_commands": made_by,
        "data_sha256": frames.key,
        "options": options,
        "machine": machine(),
    }


def _data_commands(root: Path) -> list[str]:
    """Read how simulated demonstrations were made (`arfm demos` leaves a note)."""
    notes = root / "demos.json"
    return [str(line) for line in json.loads(notes.read_text())] if notes.is_file() else []

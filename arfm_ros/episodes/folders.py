"""Names of episode folders: `<YYYYmmdd_HHMMSS>_<task>_<nnnn>`."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from arfm_ros.core.errors import EpisodeError


def episode_folder(out: Path, task: str, number: int, when: datetime) -> Path:
    """Name the folder of a new episode; `number` grows until the name is free."""
    word = re.sub(r"[^A-Za-z0-9-]+", "-", task).strip("-") or "episode"
    while True:
        folder = Path(out) / f"{when:%Y%m%d_%H%M%S}_{word}_{number:04d}"
        if not folder.exists():
            return folder
        number += 1


def newest_episode(path: Path) -> Path:
    """Take `path` itself if it is an episode, else the newest episode folder in it.

    Raises `EpisodeError` when there is none.
    """
    path = Path(path).resolve()
    if path.is_file() or any(path.glob("*.mcap")):
        return path
    files = sorted(path.glob("*/*.mcap"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise EpisodeError(f"no episode in {path}: needs a folder with an .mcap file")
    return files[-1].parent

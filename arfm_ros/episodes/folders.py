"""Names of episode folders: `<YYYYmmdd_HHMMSS>_<task>_<nnnn>`."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.edit import relabel
from arfm_ros.episodes.write import manifest
from arfm_ros.episodes.write.durable import PARTIAL, in_use, is_unfinished, partial_of


def episode_folder(out: Path, task: str, number: int, when: datetime) -> Path:
    """Name the folder of a new episode; `number` grows until the name is free."""
    word = re.sub(r"[^A-Za-z0-9-]+", "-", task).strip("-") or "episode"
    while True:
        folder = Path(out) / f"{when:%Y%m%d_%H%M%S}_{word}_{number:04d}"
        if not any(name.exists() for name in (folder, partial_of(folder))):
            return folder
        number += 1


def newest_episode(path: Path) -> Path:
    """Take `path` itself if it is an episode, else the newest episode folder in it.

    Raises `EpisodeError` when there is none.
    """
    path = Path(path).resolve()
    if path.is_file() or any(path.glob("*.mcap")):
        return path
    found = [file for file in path.glob("*/*.mcap") if not is_unfinished(file.parent)]
    files = sorted(found, key=lambda file: file.stat().st_mtime)
    if not files:
        raise EpisodeError(f"no episode in {path}: needs a folder with an .mcap file")
    return files[-1].parent


def unfinished_episodes(out: Path, deep: bool = False) -> list[Path]:
    """List the folders in `out` that a recorder left when it was killed; `deep`: below it too."""
    name = "*" + PARTIAL
    left = sorted(out.rglob(name) if deep else out.glob(name))
    bags = {folder: list(folder.glob("*.mcap")) for folder in left}
    return [folder for folder, files in bags.items() if files and not any(map(in_use, files))]


def is_learned(folder: Path) -> bool:
    """Tell whether a folder with a bag is an episode that counts: finished and not discarded.

    One whose manifest is damaged counts: its bag tells what is wrong with that itself.
    """
    if is_unfinished(folder):
        return False
    try:
        return manifest.state_of(folder) != manifest.DISCARDED
    except EpisodeError:
        return True


def read_files(folder: Path) -> list[Path]:
    """List what an episode is read from: its bags, and the labels that were given later."""
    return sorted(folder.glob("*.mcap")) + sorted(folder.glob(relabel.FILE_NAME))

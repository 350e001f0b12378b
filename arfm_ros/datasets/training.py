"""Folders of other tools that `arfm train` takes: converted once, into the run's folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from arfm_ros.core.errors import EpisodeError
from arfm_ros.datasets.convert import each
from arfm_ros.datasets.lerobot.episode import write_episode
from arfm_ros.datasets.lerobot.read import LerobotFolder, is_lerobot


def as_episodes(folders: Sequence[Path], cache: Path) -> tuple[Path, ...]:
    """Return `folders` with every LeRobotDataset replaced by its episodes below `cache`."""
    return tuple(_episodes(one, cache) if is_lerobot(one) else one for one in folders)


def _episodes(root: Path, cache: Path) -> Path:
    dataset = LerobotFolder(root)
    name = hashlib.sha256((root / "meta" / "info.json").read_bytes()).hexdigest()[:12]
    out = cache / f"{root.resolve().name}_{name}"
    out.mkdir(parents=True, exist_ok=True)
    done = each("reading LeRobot episodes", lerobot_targets(dataset, out))
    if done.refused:
        raise EpisodeError(f"{root}: {done.refused[0]} ({len(done.refused)} episodes)")
    return out


def lerobot_targets(dataset: LerobotFolder, out: Path) -> list[tuple[Path, partial[Path]]]:
    """List a dataset's episodes: the folder of each and what writes it."""
    numbers = range(len(dataset))
    return [(out / f"episode_{n:06d}", partial(write_episode, dataset, n)) for n in numbers]

"""How much room the disk has."""

from __future__ import annotations

import shutil
from pathlib import Path

from arfm_ros.core.errors import EpisodeError

MB = 1_000_000


def check_room(out: Path, min_free_mb: int) -> None:
    """Make the folder for episodes; raise `EpisodeError` where it or the room is missing."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(out).free
    except OSError as error:
        raise EpisodeError(
            f"cannot record into {out}: {error.strerror}; set 'out' to a folder you own"
        ) from error
    if free < min_free_mb * MB:
        raise EpisodeError(
            f"only {free // MB} MB are free under {out}, needs {min_free_mb} "
            "('min_free_mb'): free some space or set another 'out'"
        )


def too_little(out: Path, stop_free_mb: int) -> str:
    """Say why a running episode has to stop; "" while there is room."""
    try:
        free = shutil.disk_usage(out).free
    except OSError as error:
        return f"cannot look at the disk under {out}: {error.strerror}"
    if free >= stop_free_mb * MB:
        return ""
    return f"only {free // MB} MB are free under {out}, 'stop_free_mb' is {stop_free_mb}"

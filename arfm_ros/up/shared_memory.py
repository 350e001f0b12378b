"""Find and remove the shared memory that killed nodes left behind: 64 MiB each, for ever.

Fast DDS keeps `fastrtps_<16 hex digits>` and, locked as long as its process lives, `..._el`.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path("/dev/shm")
LOCK_FILE = re.compile(r"^fastrtps_[0-9a-f]{16}_el$")
# A node that is just starting has made its file but not locked it yet.
YOUNG_S = 10.0


def orphans(folder: Path = FOLDER) -> list[Path]:
    """List the segments whose process is gone."""
    return [path for path in _segments(folder) if _held(path)]


def remove_orphans(folder: Path = FOLDER) -> int:
    """Remove the segments whose process is gone; return how many."""
    removed = 0
    for path in _segments(folder):
        with _lock(path) as held:
            if held:
                path.unlink(missing_ok=True)
                _lock_file(path).unlink(missing_ok=True)
                removed += 1
    return removed


def _segments(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if LOCK_FILE.match(path.name) and _age_s(path) > YOUNG_S:
            yield folder / path.name.removesuffix("_el")


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:  # its process took it away meanwhile
        return 0.0


def _lock_file(segment: Path) -> Path:
    return segment.with_name(f"{segment.name}_el")


def _held(segment: Path) -> bool:
    with _lock(segment) as held:
        return held


@contextmanager
def _lock(segment: Path) -> Generator[bool, None, None]:
    """Try for the lock of a segment's process; say whether we got it."""
    try:
        file = os.open(_lock_file(segment), os.O_RDONLY)
    except OSError:  # another user's, or gone meanwhile
        yield False
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(file)

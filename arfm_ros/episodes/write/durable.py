"""Files and folders that survive a power cut, and names that appear only when all is there."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

PARTIAL = ".partial"  # being recorded, or left by a kill
RECOVERING = ".recovering"  # a copy that is being mended
ORIGINAL = ".original"  # what a mended episode was made from
MOVING = ".moving"  # a copy on its way from or to another place
UNFINISHED = (PARTIAL, RECOVERING, ORIGINAL, MOVING)


def partial_of(folder: Path) -> Path:
    """Name the folder in which the episode `folder` is written until it is closed."""
    return folder.with_name(folder.name + PARTIAL)


def is_unfinished(folder: Path) -> bool:
    """Tell whether a folder, or the one that it is in, is no episode: not yet or not any more."""
    return folder.name.endswith(UNFINISHED) or folder.parent.name.endswith(UNFINISHED)


def sync_folder(folder: Path) -> None:
    """Put the entries of a folder (new names, renames) on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, text: str) -> None:
    """Replace a file in one step: whoever looks finds the old one or the new one, whole."""
    new = path.with_name(path.name + ".new")
    with open(new, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def move_into_place(source: Path, target: Path) -> None:
    """Rename a folder whose content is on the disk; raises `FileExistsError` over another one."""
    if target.exists():  # os.rename would replace an empty folder
        raise FileExistsError(f"{target} exists already")
    sync_folder(source)
    os.rename(source, target)
    sync_folder(target.parent)


def lock(descriptor: int) -> bool:
    """Mark an open file as in use until its process ends; False where another one has it.

    A file system without locks counts as free.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def in_use(path: Path) -> bool:
    """Tell whether a living process writes a file."""
    with open(path, "rb") as file:
        return not lock(file.fileno())

"""What a folder of episodes holds, remembered in it: only what changed is read again.

A folder's own time tells whether something in it was made, renamed or removed; the times of the
two files that tell of an episode, whether they were written in place.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from arfm_ros.episodes.edit.relabel import FILE_NAME as LABELS
from arfm_ros.episodes.edit.row import Row
from arfm_ros.episodes.write import manifest
from arfm_ros.episodes.write.durable import is_unfinished

FILE_NAME = ".episodes.json"
FORMAT = 1
SETTLED_NS = 2_000_000_000  # a younger change may be followed by one with the same time
TOLD_BY = (manifest.FILE_NAME, LABELS)


@dataclass(frozen=True, slots=True)
class Seen:
    """One folder as it was: its times, the folders in it, whether a bag is in it, and its row."""

    times: tuple[int, ...]
    folders: tuple[str, ...]
    bag: bool
    row: Row | None = None


class Catalog:
    """The folders below `root`; `rows` gives those of finished episodes, read or remembered."""

    def __init__(self, root: Path, read: Callable[[Path], Row]) -> None:
        self._root, self._read = root, read
        self._known, self._scanned_ns = _load(root)
        self._now: dict[str, Seen] = {}
        self.unfinished: list[Path] = []  # folders with a bag that are no episode
        self.read = 0  # rows that were not remembered

    def rows(self) -> list[Row]:
        """List the finished episodes by the names of their folders, and remember them."""
        begin_ns = time.time_ns()
        found = sorted(self._walk("", self._root), key=lambda row: row.folder)
        if self.read or self._now.keys() != self._known.keys() or self._now != self._known:
            _save(self._root, self._now, begin_ns)
        return found

    def _walk(self, name: str, folder: Path) -> Iterator[Row]:
        seen = self._look(name, folder)
        if seen is None:
            return
        self._now[name] = seen
        if seen.row is not None:
            yield seen.row
        elif seen.bag:
            self.unfinished.append(folder)
        for inner in seen.folders:
            yield from self._walk(f"{name}/{inner}" if name else inner, folder / inner)

    def _look(self, name: str, folder: Path) -> Seen | None:
        known = self._known.get(name)
        try:
            times = _times(folder, known is None or known.row is not None)
            if known is not None and times == known.times and self._settled(times):
                return known
            with os.scandir(folder) as entries:
                listed = sorted(
                    (entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries
                )
        except OSError:
            return None  # gone, or not ours to read
        inner = tuple(one for one, is_folder in listed if is_folder)
        bag = any(one.endswith(".mcap") for one, is_folder in listed if not is_folder)
        if not bag or is_unfinished(folder):
            return Seen(times[:1], inner, bag)
        self.read += 1
        return Seen(_times(folder, True), inner, bag, self._read(folder))

    def _settled(self, times: tuple[int, ...]) -> bool:
        return max(times) + SETTLED_NS < self._scanned_ns


def _times(folder: Path, episode: bool) -> tuple[int, ...]:
    path = str(folder)
    found = [os.stat(path).st_mtime_ns]
    for name in TOLD_BY if episode else ():
        try:
            found.append(os.stat(f"{path}/{name}").st_mtime_ns)
        except FileNotFoundError:
            found.append(0)
    return tuple(found)


def _load(root: Path) -> tuple[dict[str, Seen], int]:
    """Read what is remembered; nothing where it is of another version or damaged."""
    try:
        raw = json.loads((root / FILE_NAME).read_bytes())
        if raw["format"] != FORMAT or raw["columns"] != _columns():
            return {}, 0
        known = {name: _seen(root, name, *seen) for name, seen in raw["folders"].items()}
        return known, int(raw["scanned_ns"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}, 0


def _seen(root: Path, name: str, times: Any, folders: Any, bag: Any, row: Any) -> Seen:
    told = None if row is None else Row(root / name, *row)
    return Seen(tuple(times), tuple(folders), bool(bag), told)


def _save(root: Path, seen: dict[str, Seen], scanned_ns: int) -> None:
    """Remember; where the folder is not ours to write, the next one reads again."""
    names = _columns()
    folders = {
        name: [one.times, one.folders, one.bag,
               None if one.row is None else [getattr(one.row, key) for key in names]]
        for name, one in seen.items()
    }  # fmt: skip
    raw = {"format": FORMAT, "columns": names, "scanned_ns": scanned_ns, "folders": folders}
    draft = root / f"{FILE_NAME}.{os.getpid()}"
    with suppress(OSError):
        draft.write_text(json.dumps(raw))
        draft.replace(root / FILE_NAME)


def _columns() -> list[str]:
    return [field.name for field in fields(Row)][1:]

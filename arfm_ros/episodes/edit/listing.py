"""Lists of episodes: one row each, from the manifest where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes import labels
from arfm_ros.episodes.edit.catalog import Catalog
from arfm_ros.episodes.edit.row import Row
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write import manifest
from arfm_ros.episodes.write.durable import PARTIAL, is_unfinished

UNFINISHED, BROKEN = "unfinished", "broken"
INFO_KEYS = ("task", "operator", "bundle_sha256")


def list_episodes(roots: Iterable[Path]) -> Iterator[Row]:
    """Give a row for each episode at or below `roots`, by the names of their folders.

    What a root held the last time is remembered in it (`catalog.py`).
    """
    found: dict[Path, Row] = {}
    for root in roots:
        if any(root.glob("*.mcap")):
            rows, left = ([], [root]) if is_unfinished(root) else ([row_of(root)], [])
        else:
            catalog = Catalog(root, row_of)
            rows, left = catalog.rows(), catalog.unfinished
        found |= {row.folder: row for row in rows}
        found |= {folder: _unfinished(folder) for folder in left if folder.name.endswith(PARTIAL)}
    yield from (found[folder] for folder in sorted(found))


def _unfinished(folder: Path) -> Row:
    size = sum(bag.stat().st_size for bag in folder.glob("*.mcap"))
    why = "being recorded, or left by a kill: arfm episodes recover"
    return Row(folder, UNFINISHED, bytes=size, why=why)


def row_of(folder: Path) -> Row:
    """Give the row of one finished episode; what cannot be read is told in it."""
    try:
        known = manifest.load(folder)
        return _unlisted(folder) if known is None else _listed(folder, known)
    except EpisodeError as error:
        return Row(folder, BROKEN, why=str(error))


def _listed(folder: Path, known: manifest.Manifest) -> Row:
    said = {key: str(known.label.get(key) or known.info.get(key) or "") for key in INFO_KEYS}
    return Row(
        folder=folder,
        state=known.state,
        begin=_when(known.start_ns) if known.messages else "",
        seconds=known.seconds,
        messages=known.messages,
        bytes=known.bytes,
        task=said["task"],
        success=labels.success(known.label),
        operator=said["operator"],
        bundle=said["bundle_sha256"],
        human=_took_over(known.topics),
        verdict=known.verdict,
        why="; ".join(known.reasons),
    )


def _unlisted(folder: Path) -> Row:
    """Read a bag that has no manifest: of another recorder, or of an older version."""
    reader = EpisodeReader(folder)
    times = [record.log_time_ns for record in reader.records()]
    label, info = reader.label(), reader.info()
    said = {key: str(label.get(key) or info.get(key) or "") for key in INFO_KEYS}
    return Row(
        folder=folder,
        state=manifest.SAVED,
        begin=_when(min(times)) if times else "",
        seconds=(max(times) - min(times)) / 1e9 if times else 0.0,
        messages=len(times),
        bytes=sum(file.path.stat().st_size for file in reader.files),
        task=said["task"],
        success=labels.success(label),
        operator=said["operator"],
        bundle=said["bundle_sha256"],
        verdict=manifest.INCOMPLETE if reader.damage else "",
        why="; ".join(reader.damage) or "no manifest",
    )


def _took_over(topics: Mapping[str, Mapping[str, object]]) -> bool:
    return any(name.endswith("/teleop/target_joint") for name in topics)


def _when(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9).strftime("%Y%m%d_%H%M%S")

"""Labels that are given after the recording: lines beside the bag, which itself never changes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes import labels
from arfm_ros.episodes.write import manifest
from arfm_ros.episodes.write.durable import sync_folder, write_durably

FILE_NAME = "labels.jsonl"


def later_labels(folder: Path) -> list[dict[str, object]]:
    """Read the labels that were given after the recording, oldest first."""
    return [dict(row["label"]) for row in history(folder)]


def history(folder: Path) -> list[dict[str, Any]]:
    """Read what was said later: rows of `label`, `when` and `who`.

    Raises `EpisodeError` naming the line that is none.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            row = json.loads(line)
            dict(row["label"])
        except (ValueError, TypeError, KeyError) as error:
            raise EpisodeError(f"{path}:{number} is no label: mend or remove the line") from error
        rows.append(row)
    return rows


def relabel(folder: Path, label: Mapping[str, object], who: str) -> dict[str, object]:
    """Add a label to a finished episode; return all that now counts. What was said before stays.

    The label is on the disk when this returns. The manifest tells it too.
    """
    now = datetime.now(timezone.utc).isoformat(timespec="microseconds")
    line = line_of({"when": now, "who": who, "label": dict(label)})
    new = not (folder / FILE_NAME).exists()
    try:
        with open(folder / FILE_NAME, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(folder)
        return _into_manifest(folder)
    except OSError as error:
        raise EpisodeError(f"cannot label {folder}: {error.strerror}") from error


def line_of(row: Mapping[str, Any]) -> str:
    """Write a row of the history, which is the same wherever it is kept."""
    return json.dumps(dict(row), sort_keys=True)


def take_over(folder: Path, rows: Iterable[Mapping[str, Any]]) -> dict[str, object]:
    """Add what was said of this episode elsewhere, by time; return what counts now."""
    known = history(folder)
    lines = {line_of(row) for row in known}
    new = [dict(row) for row in rows if line_of(row) not in lines]
    if not new:
        return labels.merge(row["label"] for row in known)
    merged = sorted([*known, *new], key=lambda row: str(row.get("when", "")))
    try:
        write_durably(folder / FILE_NAME, "".join(f"{line_of(row)}\n" for row in merged))
        return _into_manifest(folder)
    except OSError as error:
        raise EpisodeError(f"cannot label {folder}: {error.strerror}") from error


def recorded(folder: Path) -> str:
    """Return the text of the manifest as it was before anything was said later."""
    from arfm_ros.episodes.reader import EpisodeReader

    later, known = len(history(folder)), manifest.load(folder)
    if not later or known is None:
        return (folder / manifest.FILE_NAME).read_text(encoding="utf-8")
    said = EpisodeReader(folder).labels()
    label = labels.merge(said[: len(said) - later])
    return manifest.text(_labelled(known, label))


def _labelled(known: manifest.Manifest, label: Mapping[str, object]) -> manifest.Manifest:
    discarded = label.get(labels.DISCARDED_KEY) is True
    usual = manifest.RECOVERED if known.source_sha256 else manifest.SAVED
    return replace(known, state=manifest.DISCARDED if discarded else usual, label=label)


def _into_manifest(folder: Path) -> dict[str, object]:
    from arfm_ros.episodes.reader import EpisodeReader  # it reads these labels too

    label = EpisodeReader(folder).label()
    known = manifest.load(folder)
    if known is not None:
        manifest.save(folder, _labelled(known, label))
    return label

"""Labels that were given later travel by themselves: a line each, which never changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import EpisodeError, SpecError
from arfm_ros.core.values.strict import check_depth, table, text
from arfm_ros.episodes.edit.relabel import FILE_NAME, history, line_of, take_over
from arfm_ros.fleet.place import Place

LABELS = "labels"
BYTES_MAX = 1 << 16


def exchange(place: Place, sender: str, folders: Mapping[str, Path]) -> tuple[int, int]:
    """Send lines of the episodes (hash -> folder) of a sender that are not there, take the others.

    Returns how many were sent and taken. Both sides then say the same, in the order of time.
    Raises `FleetError`, and `EpisodeError` for a line, here or there, that is no label.
    """
    there: dict[str, set[str]] = {}
    for name in place.sizes(f"{LABELS}/{sender}"):
        sha256, _, line = name.rpartition("/")
        there.setdefault(sha256.rpartition("/")[2], set()).add(line.removesuffix(".json"))
    sent = taken = 0
    for sha256, folder in folders.items():
        if sha256 not in there and not (folder / FILE_NAME).exists():
            continue
        home = f"{LABELS}/{sender}/{sha256}"
        here = {_name(row): row for row in history(folder)}
        for name in here.keys() - there.get(sha256, set()):
            place.write(f"{home}/{name}.json", line_of(here[name]).encode())
            sent += 1
        new = there.get(sha256, set()) - here.keys()
        if new:
            take_over(folder, [_read(place, f"{home}/{name}.json") for name in sorted(new)])
            taken += len(new)
    return sent, taken


def _name(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(line_of(row).encode()).hexdigest()[:32]


def _read(place: Place, name: str) -> dict[str, Any]:
    try:
        row = table(json.loads(place.read(name, 0, BYTES_MAX)), "line")
        check_depth(row)
        text(row["when"], "when")
        table(row["label"], "label")
    except (ValueError, RecursionError, KeyError, SpecError) as error:
        raise EpisodeError(f"{place.address}: {name} is no label ({error}): remove it") from error
    return row

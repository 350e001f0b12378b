"""What the labels of a set of episodes say, and which of them a policy can learn from."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.episodes import labels
from arfm_ros.episodes.reader import EpisodeReader

KEY = "bundle_sha256"


@dataclass(frozen=True, slots=True)
class Labelled:
    """One episode; `success` is None when nobody said, `bundle_sha256` "" when it is unknown."""

    folder: str
    task: str = ""
    success: bool | None = None
    bundle_sha256: str = ""
    damage: str = ""  # why it cannot be used

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def survey(
    folders: Sequence[Path], bundle_sha256: str, say: Callable[[str], None]
) -> list[Labelled]:
    """Read the labels of every episode and say what is wrong.

    Raises `ConfigError` when no whole episode says whether it succeeded.
    """
    rows = [read_label(folder) for folder in folders]
    for row in rows:
        if row.damage:
            say(f"skipped {Path(row.folder).name}: {row.damage}")
    whole = [row for row in rows if not row.damage]
    silent = sum(row.success is None for row in whole)
    if silent == len(whole):
        raise ConfigError(
            f"none of {len(rows)} episodes is whole and says whether it succeeded: label them "
            "while they are recorded (service recorder/label)"
        )
    if silent:
        say(f"{silent} of {len(whole)} episodes have no label of success: they count as average")
    foreign = sum(row.bundle_sha256 not in {"", bundle_sha256} for row in whole)
    if foreign:
        say(f"{foreign} of {len(whole)} episodes were driven by another bundle than this one")
    return rows


def read_label(folder: Path) -> Labelled:
    """Read one episode's label and which bundle drove; damage is told, not raised."""
    try:
        reader = EpisodeReader(folder)
        label = reader.label()
        sha256 = str(label.get(KEY, "")) or _driver(reader)
    except (EpisodeError, struct.error, ValueError, IndexError) as error:
        return Labelled(str(folder), damage=str(error))
    task, success = str(label.get("task", "")), labels.success(label)
    return Labelled(str(folder), task, success, sha256, "; ".join(reader.damage[:1]))


def counts(rows: Sequence[Labelled]) -> dict[str, dict[str, int]]:
    """Count per task: whole episodes, successes, and those without a label of success."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        if not row.damage:
            kinds = {"episodes": 1, "successes": int(row.success is True)}
            found.setdefault(row.task, Counter()).update(
                kinds | {"unlabelled": int(row.success is None)}
            )
    return {task: dict(count) for task, count in sorted(found.items())}


def _driver(reader: EpisodeReader) -> str:
    """Find the bundle of the first chunk in an episode; "" when none was recorded."""
    topic = reader.find("policy/chunk_info")
    for _, message in reader.messages(topic) if topic else ():
        for pair in (pair for status in message.status for pair in status.values):
            if pair.key == KEY:
                return str(pair.value)
    return ""

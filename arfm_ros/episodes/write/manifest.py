"""`manifest.json`: what an episode is, whether it is whole, and what is known of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.write.durable import write_durably

FILE_NAME = "manifest.json"
FORMAT = 1
SAVED, DISCARDED, RECOVERED = "saved", "discarded", "recovered"
STATES = (SAVED, DISCARDED, RECOVERED)
COMPLETE, INCOMPLETE = "complete", "incomplete"
SENSOR_TYPES = ("/JointState", "Image", "/CameraInfo", "/PoseStamped")
FAST_HZ, GAP_S = 5.0, 0.5  # of what comes as fast as this a pause of so long is a gap
LAG_S = 1.0  # beyond it the stamps are of another clock


@dataclass(frozen=True, slots=True)
class Manifest:
    """One episode. `topics`: see `TopicAccount.as_json`; `lost`: in words, of a recovered one."""

    state: str
    mcap: str  # file name
    bytes: int
    sha256: str
    start_ns: int
    end_ns: int
    messages: int
    topics: Mapping[str, Mapping[str, Any]]
    label: Mapping[str, object]
    info: Mapping[str, object]
    verdict: str
    reasons: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    source_sha256: str = ""  # of what a recovered one was made from
    format: int = field(default=FORMAT)

    @property
    def seconds(self) -> float:
        """How long the episode is."""
        return max(self.end_ns - self.start_ns, 0) / 1e9 if self.messages else 0.0


def judge(
    topics: Mapping[str, Mapping[str, Any]], reasons: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    """Give the verdict on what the topics' numbers say, beside `reasons` that are known already.

    Gaps count on sensors only: commands and words may pause.
    """
    found = list(reasons)
    for name, row in topics.items():
        if row["dropped"]:
            found.append(f"{name}: {row['dropped']} of {row['published']} messages are missing")
        sensor = str(row["type"]).endswith(SENSOR_TYPES) and row["rate_hz"] >= FAST_HZ
        if sensor and row["gap_max_s"] > GAP_S:
            found.append(f"{name}: nothing for {row['gap_max_s']:.2f} s")
        lag = row.get("stamp_lag_s")
        if lag and abs(lag["p50"]) > LAG_S:
            found.append(f"{name}: stamps {lag['p50']:.2f} s behind when they were received")
    return (INCOMPLETE if found else COMPLETE), tuple(found)


def save(folder: Path, manifest: Manifest) -> None:
    """Write the manifest and put it on the disk."""
    write_durably(folder / FILE_NAME, text(manifest))


def text(manifest: Manifest) -> str:
    """Return what the file says."""
    return json.dumps(asdict(manifest), indent=1, default=str) + "\n"


def load(folder: Path) -> Manifest | None:
    """Read an episode's manifest; None where it has none (another recorder's bag).

    Raises `EpisodeError` for one that cannot be understood.
    """
    path = folder / FILE_NAME
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        known = {name: raw[name] for name in Manifest.__slots__ if name in raw}
        for name in ("reasons", "lost"):
            known[name] = tuple(known.get(name, ()))
        found = Manifest(**known)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise EpisodeError(
            f"{path} cannot be read ({error}): without it the episode is still a bag; move it away"
        ) from error
    if found.format > FORMAT or found.state not in STATES:
        raise EpisodeError(
            f"{path} is format {found.format}, state '{found.state}'; this version knows format "
            f"{FORMAT} and the states {', '.join(STATES)}"
        )
    return found


def state_of(folder: Path) -> str:
    """Tell the state of an episode; one without a manifest counts as saved."""
    found = load(folder)
    return SAVED if found is None else found.state

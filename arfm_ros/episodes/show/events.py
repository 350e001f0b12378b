"""What happened in an episode, moment by moment: words, labels, stops, refusals, gaps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from arfm_ros.episodes.labels import LABEL_TOPIC
from arfm_ros.episodes.reader import EpisodeReader, stamp_ns
from arfm_ros.episodes.series import texts
from arfm_ros.wire.cdr import Cursor
from arfm_ros.wire.joints import JOINT_STATE

SAID = {  # topics of words, and what they are called
    "instruction": "instruction",
    "policy/question": "question",
    "policy/answer": "answer",
    "arbiter/request": "request",
    "arbiter/answer": "arbiter",
    LABEL_TOPIC.strip("/"): "label",
}
ESTOP, DIAGNOSTICS, CHUNK_RESULT = "estop", "/diagnostics", "arbiter/chunk_result"
ERROR = 2
WIDE, WIDE_S = 2.5, 0.02  # median periods, and seconds, between two messages: one is missing
TEXT_MAX = 300


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at `t_s` of the episode, in words."""

    t_s: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Time without a message of a topic that comes at an even rate."""

    t_s: float
    seconds: float


def changes(said: list[tuple[int, str]], begin_ns: int) -> list[tuple[float, str]]:
    """Give the words of stamped texts where they change, in seconds from `begin_ns`."""
    found: list[tuple[float, str]] = []
    for stamp, word in said:
        if not found or found[-1][1] != word:
            found.append(((stamp - begin_ns) / 1e9, word))
    return found


def read_events(reader: EpisodeReader, begin_ns: int) -> list[Event]:
    """List what happened, by time. What a bag does not hold is left out."""
    found = [
        Event((stamp - begin_ns) / 1e9, kind, _plain(text)[:TEXT_MAX])
        for topic, kind in SAID.items()
        for stamp, text in texts(reader, topic)
    ]
    for part in (_estops, _complaints, _refusals):
        found += [
            Event((stamp - begin_ns) / 1e9, kind, text[:TEXT_MAX])
            for stamp, kind, text in part(reader)
        ]
    return sorted(found, key=lambda event: event.t_s)


def _plain(text: str) -> str:
    """Write a JSON object as `key: value, ...`, anything else as it is."""
    try:
        raw = json.loads(text)
    except ValueError:
        return text
    return ", ".join(f"{k}: {v}" for k, v in raw.items()) if isinstance(raw, dict) else text


def _estops(reader: EpisodeReader) -> Iterator[tuple[int, str, str]]:
    topic, before = reader.find(ESTOP), False
    for record in reader.records({topic}) if topic else ():
        pressed = bool(Cursor(record.cdr).octet())
        if pressed != before:
            yield record.publish_time_ns, "estop", "pressed" if pressed else "released"
        before = pressed


def _complaints(reader: EpisodeReader) -> Iterator[tuple[int, str, str]]:
    """Give what nodes say is wrong, where it changes."""
    last: dict[str, str] = {}
    for stamp, message in reader.messages(DIAGNOSTICS) if DIAGNOSTICS in reader.topics else ():
        for status in message.status:
            text = status.message if int(status.level) >= ERROR else ""
            if text and text != last.get(status.name):
                yield stamp, "error", f"{status.name.partition(':')[0]}: {text}"
            last[status.name] = text


def _refusals(reader: EpisodeReader) -> Iterator[tuple[int, str, str]]:
    topic, before = reader.find(CHUNK_RESULT), ""
    for stamp, message in reader.messages(topic) if topic else ():
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            reason = "" if values.get("accepted") == "true" else status.message
            if reason and reason != before:
                yield stamp, "refused", f"chunk {values.get('chunk_id', '?')}: {reason}"
            before = reason


def read_gaps(reader: EpisodeReader, begin_ns: int) -> dict[str, list[Gap]]:
    """Find where pictures and joint states are missing, by their stamps."""
    found = {}
    for topic, kind in sorted(reader.topics.items()):
        if not (kind.endswith("Image") or kind == JOINT_STATE):
            continue
        stamps = np.sort([stamp_ns(record) for record in reader.records({topic})])
        steps = np.diff(stamps)
        usual = float(np.median(steps)) if len(steps) else 0.0
        wide = steps > max(WIDE * usual, 1e9 * WIDE_S)
        gaps = [
            Gap((int(stamps[n]) - begin_ns) / 1e9, float(steps[n]) / 1e9)
            for n in np.flatnonzero(wide)
        ]
        if gaps:
            found[topic] = gaps
    return found

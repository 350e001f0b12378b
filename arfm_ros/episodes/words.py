"""What was said about an episode: its instruction, and whether it succeeded."""

from __future__ import annotations

from collections.abc import Mapping

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes import labels
from arfm_ros.episodes.read.topics import Topics
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.series import texts
from arfm_ros.wire.cdr import Cursor

BOOL, STRING = "std_msgs/msg/Bool", "std_msgs/msg/String"
WORDS = {"true": True, "success": True, "false": False, "failure": False}


def instruction_of(reader: EpisodeReader, topics: Topics) -> str:
    """Return the last instruction that a topic tells, else the one that the map names."""
    said = texts(reader, topics.instruction_topic)
    return said[-1][1] if said else topics.instruction


def success_of(reader: EpisodeReader, label: Mapping[str, object], topics: Topics) -> bool | None:
    """Tell whether an episode succeeded: its label, else its topic, else the map; None: unknown.

    Raises `EpisodeError` for a topic that says something else than yes or no.
    """
    said = labels.success(label)
    if said is None and topics.success_topic:
        said = _success(reader, topics.success_topic)
    return topics.success if said is None else said


def _success(reader: EpisodeReader, name: str) -> bool | None:
    topic = reader.find(name)
    if topic is None:
        return None
    last = None
    for record in reader.records({topic}):
        last = record
    if last is None:
        return None
    if last.type_name == BOOL:
        return bool(Cursor(last.cdr).octet())
    word = Cursor(last.cdr).text().strip().lower() if last.type_name == STRING else ""
    if word not in WORDS:
        raise EpisodeError(
            f"{topic} ({last.type_name}) ends with '{word[:40]}', needs a Bool or a String of: "
            f"{', '.join(WORDS)}"
        )
    return WORDS[word]

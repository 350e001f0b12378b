"""Messages of bags, written into another one as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import yaml

from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.scan import McapFile, Record
from arfm_ros.episodes.write.metadata import OfferedQos
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.wire.definitions import STORE


def copy(writer: EpisodeWriter, records: Iterable[Record]) -> int:
    """Write records as they are; return the largest log time in ns, 0 without any."""
    end_ns = 0
    for one in records:
        times = one.log_time_ns, one.publish_time_ns
        writer.write(one.topic, one.type_name, bytes(one.cdr), *times, one.sequence)
        end_ns = max(end_ns, one.log_time_ns)
    return end_ns


def readable(reader: EpisodeReader) -> set[str]:
    """List the topics whose type the bag, or this package, knows."""
    return {topic for topic, type_name in reader.topics.items() if type_name in STORE.types}


def offered_qos(files: Sequence[McapFile]) -> Mapping[str, OfferedQos]:
    """Give what the bags say that publishers offered, by topic."""
    found = {}
    for file in files:
        for number, (topic, _) in file.channels.items():
            text = file.notes.get(number, {}).get("offered_qos_profiles", "")
            found[topic] = _offered(text)
    return found


def _offered(text: str) -> OfferedQos:
    try:
        (row,) = yaml.safe_load(text)
        return OfferedQos(
            str(row["reliability"]) in {"reliable", "1"},
            int(row["depth"]),
            str(row["durability"]) in {"transient_local", "1"},
        )
    except (yaml.YAMLError, ValueError, TypeError, KeyError):
        return OfferedQos()

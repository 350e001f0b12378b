"""Episodes out of rosbag2 bags, sqlite3 or MCAP: every message as it is, and what the map says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rosbags.rosbag2 import Reader, ReaderError

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.read.topics import OWN, Topics
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.wire.definitions import STORE, definition, register


def targets(
    roots: list[Path], out: Path, topics: Topics = OWN
) -> list[tuple[Path, Callable[[Path], object]]]:
    """List the bags at or below `roots`: the folder of each episode and what writes it."""
    bags = sorted({path.parent for root in roots for path in root.rglob("metadata.yaml")})
    if not bags:
        raise EpisodeError(f"no rosbag2 bag (metadata.yaml) in {', '.join(map(str, roots))}")
    return [(out / bag.name, partial(write_bag, bag, topics)) for bag in bags]


def write_bag(bag: Path, topics: Topics, target: Path) -> Path:
    """Write one bag as an episode. Topics whose type nobody tells are left out and labelled.

    What the map says of task and success becomes a label. Raises `EpisodeError` for a bag that
    cannot be read.
    """
    try:
        with Reader(bag) as reader:
            return _write(reader, topics, target)
    except (ReaderError, OSError, ValueError) as error:
        raise EpisodeError(f"cannot read the bag {bag}: {error}") from error


def _write(reader: Any, topics: Topics, target: Path) -> Path:
    left = []
    for connection in reader.connections:
        if not _known(connection):
            left.append(f"{connection.topic} ({connection.msgtype})")
    wanted = [c for c in reader.connections if _known(c)]
    writer, end_ns = EpisodeWriter(target), 0
    for connection, stamp_ns, data in reader.messages(connections=wanted):
        writer.write(connection.topic, connection.msgtype, bytes(data), stamp_ns)
        end_ns = max(end_ns, stamp_ns)
    label: dict[str, object] = {"task": topics.task} if topics.task else {}
    label |= {} if topics.success is None else {"success": topics.success}
    label |= {"left_out": left} if left else {}
    if label:
        writer.label(label, end_ns)
    return writer.close()


def _known(connection: Any) -> bool:
    """Tell whether the type of a topic is built in, installed, or told by the bag."""
    name = connection.msgtype
    if name in STORE.types:
        return True
    try:
        text = getattr(connection.msgdef, "data", "")
        if text:
            register(name, text)
        definition(name)
    except EpisodeError:
        return False
    return True

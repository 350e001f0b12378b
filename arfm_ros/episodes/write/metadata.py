"""`metadata.yaml` as rosbag2 (Jazzy, format version 9) writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from arfm_ros.episodes.write.durable import write_durably

VERSION = 9
ROS_DISTRO = "jazzy"
FILE_NAME = "metadata.yaml"
EMPTY_START_NS = 2**63 - 1  # rosbag2's starting time of a bag without messages


@dataclass(frozen=True, slots=True)
class OfferedQos:
    """The publisher's quality of service, as far as playing a bag back needs it."""

    reliable: bool = True
    depth: int = 10
    latched: bool = False  # transient local


@dataclass(frozen=True, slots=True)
class TopicSummary:
    """One recorded topic."""

    name: str
    type_name: str
    rihs01: str
    qos: OfferedQos
    count: int


@dataclass(frozen=True, slots=True)
class BagSummary:
    """What `metadata.yaml` says of a bag; `notes` become rosbag2's custom data."""

    file_name: str
    topics: Sequence[TopicSummary]
    start_ns: int
    end_ns: int
    notes: Mapping[str, str]


def qos_yaml(qos: OfferedQos, indent: int = 0) -> str:
    """Write one offered profile as a YAML list of one entry."""
    forever = "sec: 9223372036\n    nsec: 854775807"
    lines = (
        "- history: keep_last\n"
        f"  depth: {qos.depth}\n"
        f"  reliability: {'reliable' if qos.reliable else 'best_effort'}\n"
        f"  durability: {'transient_local' if qos.latched else 'volatile'}\n"
        f"  deadline:\n    {forever}\n"
        f"  lifespan:\n    {forever}\n"
        "  liveliness: automatic\n"
        f"  liveliness_lease_duration:\n    {forever}\n"
        "  avoid_ros_namespace_conventions: false"
    ).splitlines()
    return "\n".join(" " * indent + line for line in lines)


def render(bag: BagSummary) -> str:
    """Write the whole document. Texts are quoted as JSON, which YAML reads alike."""
    count = sum(topic.count for topic in bag.topics)
    start, duration = (bag.start_ns, bag.end_ns - bag.start_ns) if count else (EMPTY_START_NS, 0)
    name = json.dumps(bag.file_name)
    lines = [
        "rosbag2_bagfile_information:",
        f"  version: {VERSION}",
        "  storage_identifier: mcap",
        f"  duration:\n    nanoseconds: {duration}",
        f"  starting_time:\n    nanoseconds_since_epoch: {start}",
        f"  message_count: {count}",
        "  topics_with_message_count:" + ("" if bag.topics else " []"),
        *(_topic(topic) for topic in bag.topics),
        '  compression_format: ""',
        '  compression_mode: ""',
        f"  relative_file_paths:\n    - {name}",
        "  files:",
        f"    - path: {name}",
        f"      starting_time:\n        nanoseconds_since_epoch: {start}",
        f"      duration:\n        nanoseconds: {duration}",
        f"      message_count: {count}",
        "  custom_data:" + ("" if bag.notes else " ~"),
        *(f"    {key}: {json.dumps(value)}" for key, value in bag.notes.items()),
        f"  ros_distro: {ROS_DISTRO}",
    ]
    return "\n".join(lines) + "\n"


def save(folder: Path, bag: BagSummary) -> None:
    """Replace the folder's `metadata.yaml` in one step, so that it is whole at any moment."""
    write_durably(folder / FILE_NAME, render(bag))


def _topic(topic: TopicSummary) -> str:
    return (
        "    - topic_metadata:\n"
        f"        name: {topic.name}\n"
        f"        type: {topic.type_name}\n"
        "        serialization_format: cdr\n"
        f"        offered_qos_profiles:\n{qos_yaml(topic.qos, indent=10)}\n"
        f"        type_description_hash: {topic.rihs01}\n"
        f"      message_count: {topic.count}"
    )

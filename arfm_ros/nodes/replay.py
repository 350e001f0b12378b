"""Publish the sensors of a recorded episode with their stamps moved to now.

What nodes of ours publish themselves (chunks, commands, authority, diagnostics, labels) is left
out, so that living nodes run on the recording.
"""

from __future__ import annotations

import struct
import time

import rclpy
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.nodes.ros.topics import interface
from arfm_ros.wire.cdr import NS, header_stamp_ns
from arfm_ros.wire.definitions import has_header

OURS = ("/policy/", "/arbiter/", "/recorder/", "/episode/", "/diagnostics", "/rosout")
LATCHED = ("/instruction", "/robot_description", "/camera_info")
ENCAPSULATION, WAIT_S, DEPTH = 4, 0.5, 10


def publish(reader: EpisodeReader, speed: float = 1.0) -> int:
    """Publish an episode once; return 0. Raises `EpisodeError` where it holds no sensor."""
    topics = [topic for topic in reader.topics if not any(word in topic for word in OURS)]
    if not topics or not speed > 0:
        raise EpisodeError(f"{reader.folder}: nothing to publish at speed {speed:g}")
    rclpy.init()
    try:
        node = Node("replay")
        senders = {
            topic: node.create_publisher(interface(reader.topics[topic]), topic, _qos(topic))
            for topic in topics
        }
        time.sleep(WAIT_S)  # for whoever listens
        begin_s, first_ns, shift_ns = time.monotonic(), 0, 0
        for record in reader.records(set(topics)):
            if not first_ns:
                first_ns = record.log_time_ns
                shift_ns = int(node.get_clock().now().nanoseconds) - first_ns
            due_s = begin_s + (record.log_time_ns - first_ns) / NS / speed
            time.sleep(max(0.0, due_s - time.monotonic()))
            stamped = has_header(record.type_name)
            cdr = bytes(record.cdr)
            senders[record.topic].publish(
                moved(cdr, first_ns, shift_ns, speed) if stamped else cdr
            )
    finally:
        rclpy.try_shutdown()
    return 0


def moved(cdr: bytes, first_ns: int, shift_ns: int, speed: float = 1.0) -> bytes:
    """Move the stamp of a message with a header; one without a stamp stays as it is."""
    stamp_ns = header_stamp_ns(cdr)
    if not stamp_ns:
        return cdr
    now_ns = first_ns + shift_ns + round((stamp_ns - first_ns) / speed)
    order = "<" if cdr[1] == 1 else ">"
    stamp = struct.pack(f"{order}iI", *divmod(now_ns, NS))
    return cdr[:ENCAPSULATION] + stamp + cdr[ENCAPSULATION + len(stamp) :]


def _qos(topic: str) -> QoSProfile:
    latched = topic.endswith(LATCHED)
    kept = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=DEPTH, durability=kept)

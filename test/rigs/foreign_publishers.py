"""A process of foreign publishers: plain rclpy, knows nothing of this stack's table of topics.

Usage: foreign_publishers.py RATE_HZ TOPIC=TYPE=RELIABILITY=DURABILITY ...

Strings are numbered `<topic> 0`, `<topic> 1`, ..., a Bool is true; other messages are empty. At a
rate of 0 each publisher sends once and stays.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy


def main() -> None:
    """Publish until killed."""
    rate_hz, *words = sys.argv[1:]
    rclpy.init()
    node = rclpy.create_node("foreigner")
    made = []
    for word in words:
        topic, kind, reliability, durability = word.split("=")
        package, group, name = kind.split("/")
        qos = QoSProfile(
            depth=10,
            reliability=getattr(ReliabilityPolicy, reliability),
            durability=getattr(DurabilityPolicy, durability),
        )
        message_type = getattr(import_module(f"{package}.{group}"), name)
        made.append((topic, node.create_publisher(message_type, topic, qos), message_type))
    number = 0
    while True:
        for topic, publisher, message_type in made:
            message = message_type()
            if hasattr(message, "data") and isinstance(message.data, str):
                message.data = f"{topic} {number}"
            if hasattr(message, "data") and isinstance(message.data, bool):
                message.data = True
            publisher.publish(message)
        if number == 0:
            print("ready", flush=True)
        number += 1
        time.sleep(1 / float(rate_hz) if float(rate_hz) else 3600)


if __name__ == "__main__":
    main()

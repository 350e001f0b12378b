"""One of the processes of `discovery`: publish, read, count the publishers that it loses.

Usage: python -m arfm_ros.up.discovery_peer PEERS

Says `found_s SECONDS` once it hears all peers, then, for a line on its standard input,
`losses COUNT`, and stays until that is closed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

import rclpy
from rclpy.event_handler import SubscriptionEventCallbacks
from std_msgs.msg import String

from arfm_ros.nodes.ros.executor import Spinner
from arfm_ros.workers import end_with_parent

TOPIC = "presence"
PERIOD_S = 0.05


class Peer:
    """Counts on the executor's thread, talks on the main one."""

    def __init__(self, peers: int) -> None:
        self._peers, self._begin_s = peers, time.monotonic()
        self.losses = 0
        self.found = threading.Event()
        self.node = rclpy.create_node("peer")
        publisher = self.node.create_publisher(String, TOPIC, 1)
        self.node.create_timer(PERIOD_S, lambda: publisher.publish(String()))
        events = SubscriptionEventCallbacks(matched=self._on_matched)
        self.node.create_subscription(String, TOPIC, _heard, 1, event_callbacks=events)

    def _on_matched(self, event: Any) -> None:
        if event.current_count_change < 0:
            self.losses -= event.current_count_change
        if event.current_count >= self._peers and not self.found.is_set():
            print(f"found_s {time.monotonic() - self._begin_s:.3f}", flush=True)
            self.found.set()


def _heard(message: object) -> None:
    """Let the middleware have something to do."""


def main() -> None:
    """Run until standard input is closed."""
    end_with_parent(signal.SIGKILL, os.getppid())
    rclpy.init()
    peer = Peer(int(sys.argv[1]))
    spinner = Spinner()
    spinner.add_node(peer.node)
    thread = threading.Thread(target=spinner.spin_to_shutdown, daemon=True)
    thread.start()
    for _ in sys.stdin:
        print(f"losses {peer.losses}", flush=True)
    rclpy.try_shutdown()
    thread.join(timeout=2.0)


if __name__ == "__main__":
    main()

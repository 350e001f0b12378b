"""A process that only listens: what was sent and what the arm did, with the times of sending.

Usage: python -m arfm_ros.faults.witness FILE

Every record is a head (number of the topic, steady ns of sending and of coming, length) and the
message's CDR bytes. The middleware notes the time of sending: a busy machine may wake this process
late. Only a latched e-stop counts from when it came, for nobody hears it before.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.node import Node

from arfm_ros.faults.inject.wiring import ESTOP, WITNESSED
from arfm_ros.nodes.ros import spin, topics
from arfm_ros.nodes.ros.real_time import raise_process_priority

HEAD = struct.Struct("<BqqI")
ALL = topics.Qos(reliable=True, depth=500)
LATCHED = topics.Qos(reliable=True, depth=500, latched=True)


class Witness(Node):
    """Write down every message as it comes."""

    def __init__(self, path: str) -> None:
        super().__init__("fault_witness", start_parameter_services=False)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number, row in enumerate(WITNESSED):
            topics.subscription(self, row, self._writer(number), ALL, raw=True)
        # an e-stop that was pressed before its reader was found
        topics.subscription(self, WITNESSED[ESTOP], self._write_now, LATCHED, raw=True)

    def _writer(self, number: int) -> Callable[[bytes, Any], None]:
        def write(cdr: bytes, info: Any) -> None:
            self._write(number, cdr, time.time_ns() - info["source_timestamp"])

        return write

    def _write_now(self, cdr: bytes) -> None:
        self._write(ESTOP, cdr, 0)

    def _write(self, number: int, cdr: bytes, age_ns: int) -> None:
        now_ns = time.monotonic_ns()
        os.write(self._file, HEAD.pack(number, now_ns - age_ns, now_ns, len(cdr)) + cdr)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def main() -> int:
    """Run until a signal comes."""
    raise_process_priority()
    path = rclpy.utilities.remove_ros_args(sys.argv)[1]
    return spin.run(lambda: Witness(path))


if __name__ == "__main__":
    sys.exit(main())

"""A process that only listens: what was sent and what the arm did, with steady receive times.

Usage: python -m arfm_ros.faults.witness FILE

Every record is a head (number of the topic, steady ns, length) and the message's CDR bytes.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Callable

import rclpy
from rclpy.node import Node

from arfm_ros.faults.inject.wiring import ESTOP, WITNESSED
from arfm_ros.nodes.ros import spin, topics
from arfm_ros.nodes.ros.real_time import raise_process_priority

HEAD = struct.Struct("<BqI")
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
        topics.subscription(self, WITNESSED[ESTOP], self._writer(ESTOP), LATCHED, raw=True)

    def _writer(self, number: int) -> Callable[[bytes], None]:
        def write(cdr: bytes) -> None:
            os.write(self._file, HEAD.pack(number, time.monotonic_ns(), len(cdr)) + cdr)

        return write

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

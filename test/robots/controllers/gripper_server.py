"""A GripperCommand or ParallelGripperCommand server that blocks for a while, as its own process.

    python gripper_server.py GripperCommand ACTION SECONDS

It prints a line for each goal that it takes, and one when it is ready.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import rclpy
from control_msgs import action
from rclpy.action import ActionServer
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node


class Gripper(Node):
    """Reach every goal after some seconds, unless a newer one comes."""

    def __init__(self, kind: str, name: str, seconds: float) -> None:
        super().__init__("gripper_server")
        self._action, self._seconds = getattr(action, kind), seconds
        self._newest, self._stop = 0, threading.Event()
        group = ReentrantCallbackGroup()
        self._server = ActionServer(
            self, self._action, name, execute_callback=self._execute, callback_group=group
        )

    def _execute(self, goal: Any) -> Any:
        self._newest += 1
        number = self._newest
        command = goal.request.command
        position = command.position
        print("goal", position if isinstance(position, float) else position[0], flush=True)
        self._stop.wait(self._seconds)
        result = self._action.Result()
        if number == self._newest:
            result.reached_goal = True
            goal.succeed()
        else:
            goal.abort()
        return result


def main() -> None:
    """Serve until the process is ended."""
    rclpy.init()
    node = Gripper(sys.argv[1], sys.argv[2], float(sys.argv[3]))
    executor = MultiThreadedExecutor(num_threads=4)
    executor.add_node(node)
    print("ready", flush=True)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

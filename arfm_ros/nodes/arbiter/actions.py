"""Grippers behind an action: the newest goal, never in the way of the stream."""

from __future__ import annotations

from typing import Any

from rclpy.action import ActionClient
from rclpy.node import Node

from arfm_ros.core.errors import ConfigError
from arfm_ros.nodes.ros import topics
from arfm_ros.robots.commands.controller import Topic
from arfm_ros.robots.commands.goals import GoalLane
from arfm_ros.robots.commands.values import Value


def is_action(topic: Topic) -> bool:
    """Tell whether a controller listens by an action."""
    return "/action/" in topic.interface


class GoalSender:
    """Goals of one action; `offer` and `step` are of the tick's thread, answers of another."""

    def __init__(self, node: Node, topic: Topic, preempts: bool = True) -> None:
        try:
            kind = topics.interface(topic.interface)
        except ImportError as error:
            raise ConfigError(
                f"{topic.name} needs {topic.interface}: install that package, or choose "
                "float64_array as the gripper's controller in the robot's YAML"
            ) from error
        self._client, self._lane = ActionClient(node, kind, topic.name), GoalLane(preempts)

    def offer(self, goal: Value) -> None:
        """Take a goal; one that still waits is dropped."""
        self._lane.offer(goal)

    def forget(self) -> None:
        """Drop the goal that waits."""
        self._lane.forget()

    def step(self, now_ns: int, ros_ns: int) -> None:
        """Send the goal that waits, if the server is there and takes one now."""
        if not self._client.server_is_ready():
            return
        due = self._lane.next(now_ns)
        if due is None:
            return
        number, value = due
        goal = value.message(ros_ns, topics.interface)
        answer = self._client.send_goal_async(goal)
        answer.add_done_callback(lambda done: self._accepted(done, number))

    def _accepted(self, done: Any, number: int) -> None:
        handle = done.result()
        if handle is None or not handle.accepted:
            self._lane.finished(number)
            return
        handle.get_result_async().add_done_callback(lambda _: self._lane.finished(number))

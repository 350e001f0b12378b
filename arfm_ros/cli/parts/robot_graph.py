"""Listen to a running robot: what it publishes, and what its controllers listen to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.files.draft import COMMANDS, GRIPPER_COMMANDS, IMAGES, Heard

STATES = "sensor_msgs/msg/JointState"
SEND_GOAL, SEND_GOAL_TYPE = "/_action/send_goal", "_SendGoal"
SETTLE_S = 1.0  # what belongs to one robot is discovered within this of each other


def hear(wait_s: float, description: str = "") -> Heard:
    """Listen until a description and joint states came, for `wait_s` at most.

    `description` is the URDF where none is published. Raises `ConfigError` for what did not come.
    """
    try:
        import rclpy
    except ImportError as error:
        raise ConfigError(f"listening to a robot needs ROS 2: {error} (arfm doctor)") from error
    rclpy.init()
    try:
        return _Listener(rclpy.create_node("arfm_robot_new"), description).run(wait_s)
    finally:
        rclpy.try_shutdown()


class _Listener:
    """The newest joint states of each topic, and the description."""

    def __init__(self, node: Any, description: str) -> None:
        from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
        from sensor_msgs.msg import JointState
        from std_msgs.msg import String

        self._node, self._description = node, description
        self._states: dict[str, Mapping[str, float]] = {}
        self._made: set[str] = set()
        self._joint_state = JointState
        self._newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(String, "robot_description", self._on_description, latched)

    def run(self, wait_s: float) -> Heard:
        """Listen; a robot that is complete is given a moment for the rest of its topics."""
        import rclpy

        begin = time.monotonic()
        complete = begin + wait_s
        while time.monotonic() < min(complete, begin + wait_s):
            self._join()
            rclpy.spin_once(self._node, timeout_sec=0.05)
            if self._description and self._states and complete == begin + wait_s:
                complete = time.monotonic() + SETTLE_S
        if not self._description:
            raise ConfigError(
                f"heard no robot_description within {wait_s:g} s: start robot_state_publisher, or "
                "give the file with --urdf"
            )
        if not self._states:
            raise ConfigError(
                f"heard no joint states within {wait_s:g} s: start the joint state broadcaster"
            )
        return Heard(self._description, self._states, self._inputs(), self._images())

    def _join(self) -> None:
        for topic, types in self._node.get_topic_names_and_types():
            if STATES in types and topic not in self._made and self._node.count_publishers(topic):
                self._made.add(topic)
                name = topic.lstrip("/")
                self._node.create_subscription(
                    self._joint_state,
                    topic,
                    lambda message, name=name: self._on_states(name, message),
                    self._newest,
                )

    def _on_description(self, message: Any) -> None:
        self._description = self._description or message.data

    def _on_states(self, topic: str, message: Any) -> None:
        self._states[topic] = dict(zip(message.name, message.position))

    def _inputs(self) -> dict[str, str]:
        """Return topics and actions that some controller listens to, with their types."""
        wanted = {type_name for type_name, _, _ in (*COMMANDS, *GRIPPER_COMMANDS)}
        found = {
            topic.lstrip("/"): types[0]
            for topic, types in self._node.get_topic_names_and_types()
            if types[0] in wanted and self._node.count_subscribers(topic) - (topic in self._made)
        }
        for service, types in self._node.get_service_names_and_types():
            kind = types[0].removesuffix(SEND_GOAL_TYPE)
            if service.endswith(SEND_GOAL) and kind in wanted:
                found[service.removesuffix(SEND_GOAL).lstrip("/")] = kind
        return found

    def _images(self) -> tuple[str, ...]:
        """Return the topics of pictures; the compressed ones where nothing else is published."""
        topics = {
            topic.lstrip("/"): types[0]
            for topic, types in self._node.get_topic_names_and_types()
            if types[0] in IMAGES and self._node.count_publishers(topic)
        }
        return tuple(
            topic
            for topic in sorted(topics)
            if not (topic.endswith("/compressed") and topic.removesuffix("/compressed") in topics)
        )

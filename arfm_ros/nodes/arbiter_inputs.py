"""What the arbiter hears, translated: names, units, and stamps into the steady clock's time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState

from arfm_ros.core.errors import SpecError
from arfm_ros.core.safety import F64
from arfm_ros.nodes import topics
from arfm_ros.nodes.convert import joint_map, time_to_ns
from arfm_ros.nodes.gripper import GripperParams

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """The same instant on two clocks: ROS time only compares stamps, steady time does the rest."""

    ros_ns: int
    steady_ns: int

    def steady(self, stamp_ns: int) -> int:
        """Return the steady time of a ROS stamp."""
        return self.steady_ns - (self.ros_ns - stamp_ns)

    def ros(self, steady_ns: int) -> int:
        """Invert `steady`."""
        return self.ros_ns - (self.steady_ns - steady_ns)


def moment(node: Node) -> Moment:
    """Read both clocks."""
    return Moment(int(node.get_clock().now().nanoseconds), time.monotonic_ns())


class JointStates:
    """Put the arm's and the gripper's newest states together."""

    def __init__(self, names: tuple[str, ...], gripper: GripperParams, age_max_s: float) -> None:
        self._names, self._gripper = names, gripper
        self._age_max_ns = round(age_max_s * NS)
        self._gripper_state: dict[str, float] = {}
        self._gripper_seen_ns = 0

    def on_gripper(self, message: JointState, now: Moment) -> None:
        """Keep the gripper's state; its own stamp may be of another clock, so arrival counts."""
        self._gripper_state = joint_map((message,))
        self._gripper_seen_ns = now.steady_ns

    def whole(self, message: JointState, now: Moment) -> tuple[F64, int]:
        """Return positions [A] and the steady time of the arm's state.

        Raises `SpecError` naming what is missing or too old.
        """
        if not time_to_ns(message.header.stamp):
            raise SpecError("joint state has no stamp (0): set header.stamp in its driver")
        arm = joint_map((message,))
        positions = self._gripper.named({**self._gripper_state, **arm})
        missing = [name for name in self._names if name not in positions]
        if missing:
            raise SpecError(self._lacks(missing, positions))
        age_ns = now.steady_ns - self._gripper_seen_ns
        if self._gripper.opening(arm) is None and age_ns > self._age_max_ns:
            raise SpecError(
                f"gripper state on {topics.GRIPPER_STATES.name} is {age_ns / NS:.1f} s old "
                "(parameter gripper_age_max)"
            )
        values = np.array([positions[name] for name in self._names], dtype=np.float64)
        return values, now.steady(time_to_ns(message.header.stamp))

    def _lacks(self, missing: list[str], found: Any) -> str:
        if not self._gripper_state and missing == [self._names[-1]]:
            return f"no gripper state yet on {topics.GRIPPER_STATES.name}"
        if missing == [self._names[-1]]:
            wanted = ", ".join(self._gripper.gripper_joints)
            return (
                f"gripper state names {', '.join(self._gripper_state)}, parameter gripper_joints "
                f"needs {wanted}"
            )
        named = ", ".join(found) or "nothing"
        return f"joint states lack {', '.join(missing)}; they name: {named}"


class SoleSenders:
    """Inputs that move the arm: each is heard while exactly one node publishes it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._readers: dict[str, Any] = {}

    def listen(self, row: topics.Topic, callback: Callable[[Any, str], None]) -> None:
        """Subscribe; the callback gets the message and why it must not count, '' if it does."""

        def receive(message: Any) -> None:
            callback(message, self.refusal(row))

        self._readers[row.name] = topics.subscription(self._node, row, receive)

    def refusal(self, row: topics.Topic) -> str:
        """Why nothing on a topic counts now: who publishes it beside whom."""
        if self._readers[row.name].get_publisher_count() <= 1:
            return ""
        infos = self._node.get_publishers_info_by_topic(self._readers[row.name].topic_name)
        names = sorted({f"{i.node_namespace.rstrip('/')}/{i.node_name}" for i in infos})
        return f"{row.name} has {len(infos)} publishers: {', '.join(names)}; stop all but one"

    def refusals(self) -> list[str]:
        """List the refusals of all inputs."""
        rows = (topics.ACTION_CHUNK, topics.TELEOP_ENGAGED, topics.TELEOP_TARGET)
        found = [self.refusal(row) for row in rows if row.name in self._readers]
        return [text for text in found if text]

"""Look at a running robot as its controllers' preflight wants to see it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.commands.controller import Topic
from arfm_ros.robots.commands.graph import (
    ControllerInfo,
    Endpoint,
    Finding,
    Graph,
    HeardJoints,
    TopicEnds,
)
from arfm_ros.robots.commands.messages import controllers_of
from arfm_ros.robots.commands.whole import WholeRobot
from arfm_ros.robots.robot import Robot

NODE = "arfm_preflight"
LIST_CONTROLLERS = "controller_manager/list_controllers"
ANSWER_S = 2.0


def preflight(robot: Robot, wait_s: float) -> Mapping[str, tuple[Finding, ...]] | None:
    """Return what is wrong around a running robot, by group; None where no robot runs."""
    try:
        import rclpy
    except ImportError as error:
        raise ConfigError(f"looking at a robot needs ROS 2: {error} (arfm doctor)") from error
    whole = WholeRobot(robot)
    rclpy.init()
    try:
        look = _Look(rclpy.create_node(NODE), robot)
        look.listen(wait_s)
        if not look.heard():
            return None
        listened = [topic for those in whole.topics().values() for topic in those]
        graph = look.graph(listened)
        return {name: tuple(found) for name, found in whole.preflight(graph).items()}
    finally:
        rclpy.try_shutdown()


class _Look:
    """Joint states over some time, and who is on which topic."""

    def __init__(self, node: Any, robot: Robot) -> None:
        from sensor_msgs.msg import JointState

        from arfm_ros.nodes.ros import topics

        self._node = node
        self._came: dict[str, list[tuple[float, float, Any]]] = {}  # receipt, skew, message
        names = dict.fromkeys(t for group in robot.groups for t in group.state_topics)
        for name in names:
            row = topics.JOINT_STATES.at(name)
            topics.subscription(node, row, lambda m, name=name: self._on_joints(name, m))
        self._state_topics = tuple(names)
        self._type = JointState

    def listen(self, wait_s: float) -> None:
        """Listen for `wait_s`."""
        import rclpy

        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            rclpy.spin_once(self._node, timeout_sec=0.05)

    def heard(self) -> bool:
        """Say whether any joint state came, or anybody would send one."""
        return any(self._came.values()) or any(
            self._node.count_publishers(name) for name in self._state_topics
        )

    def graph(self, listened: list[Topic]) -> Graph:
        """Return everything as one value."""
        names = [*self._state_topics, *(topic.name for topic in listened)]
        ends = {self._node.resolve_topic_name(name): self._ends(name) for name in names}
        joints = tuple(_joints(name, came) for name, came in self._came.items() if came)
        own = self._node.get_fully_qualified_name()
        return Graph(own, ends, joints, self._controllers(), self._node.get_namespace())

    def _ends(self, name: str) -> TopicEnds:
        if self._is_action(name):
            return TopicEnds(subscribers=(Endpoint("an action server", ""),))
        return TopicEnds(
            tuple(map(_endpoint, self._node.get_publishers_info_by_topic(name))),
            tuple(
                _endpoint(one)
                for one in self._node.get_subscriptions_info_by_topic(name)
                if one.node_name != NODE
            ),
        )

    def _is_action(self, name: str) -> bool:
        service = f"{self._node.resolve_topic_name(name)}/_action/send_goal"
        return any(found == service for found, _ in self._node.get_service_names_and_types())

    def _controllers(self) -> tuple[ControllerInfo, ...] | None:
        try:
            from controller_manager_msgs.srv import ListControllers
        except ImportError:
            return None
        import rclpy

        client = self._node.create_client(ListControllers, LIST_CONTROLLERS)
        if not client.wait_for_service(timeout_sec=ANSWER_S):
            return None
        answer = client.call_async(ListControllers.Request())
        rclpy.spin_until_future_complete(self._node, answer, timeout_sec=ANSWER_S)
        return controllers_of(answer.result()) if answer.result() is not None else None

    def _on_joints(self, name: str, message: Any) -> None:
        now = self._node.get_clock().now().nanoseconds * 1e-9
        stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        self._came.setdefault(name, []).append((time.monotonic(), now - stamp, message))


def _joints(name: str, came: list[tuple[float, float, Any]]) -> HeardJoints:
    """Sum up; parts of a state that come in messages of their own are put together."""
    positions: dict[str, float] = {}
    for *_, message in came:
        positions |= dict(zip(message.name, message.position))
    span = came[-1][0] - came[0][0]
    parts = max(1, len({tuple(message.name) for *_, message in came}))
    rate = (len(came) - 1) / span / parts if span > 0.0 else 0.0
    skew = median(skew for _, skew, _ in came)
    return HeardJoints(name, tuple(positions), tuple(positions.values()), rate, skew)


def _endpoint(info: Any) -> Endpoint:
    from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

    qos = info.qos_profile
    return Endpoint(
        f"{info.node_namespace.rstrip('/')}/{info.node_name}",
        info.topic_type,
        qos.reliability == ReliabilityPolicy.RELIABLE,
        qos.durability == DurabilityPolicy.TRANSIENT_LOCAL,
    )

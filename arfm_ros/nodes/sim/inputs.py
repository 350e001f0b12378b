"""What the simulated robot listens to: the command topics of its controllers.

The FR3 has all of CRISP's inputs; any other robot those of the controllers that its YAML names. A
gripper is an action where `control_msgs` is installed, else the plain topic CONTROLLER/commands
with the goal's position.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from rclpy.node import Node

from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.sim.params import has_stock_topics
from arfm_ros.robots.commands.controller import Topic
from arfm_ros.robots.commands.messages import FLOAT64_ARRAY, JOINT_STATE, JOINT_TRAJECTORY
from arfm_ros.robots.commands.registry import make_controller
from arfm_ros.robots.commands.values import JointTarget, Values
from arfm_ros.robots.controllers import gripper_command, parallel_gripper_command
from arfm_ros.robots.controllers.gripper_command import GripperGoal
from arfm_ros.robots.robot import Group
from arfm_ros.sim.controllers.crisp import CrispController
from arfm_ros.sim.controllers.jtc import JtcMessage
from arfm_ros.sim.controllers.jtc_segment import Point
from arfm_ros.sim.world import World

NS = 1_000_000_000
ACTIONS = (gripper_command.ACTION, parallel_gripper_command.ACTION)
REPORT_NS = NS  # a reason is logged again after so long


class Inputs(Protocol):
    """The commands of one robot; they take the lock that guards its world."""

    commanded_ns: int  # steady time of the last command

    def select(self, controller: str) -> None:
        """Activate a controller, where the robot has several."""

    def forget(self) -> None:
        """Drop what older messages left; the world was reset."""

    def commanders(self) -> int:
        """Count the publishers of commands that move the arms."""

    def health(self) -> tuple[str, dict[str, object]]:
        """Return what is wrong ('' if nothing) and the numbers for /diagnostics."""


def inputs_of(
    node: Node, world: World, lock: threading.Lock, controller: str, skew_ns: Callable[[], int]
) -> Inputs:
    """Listen to the commands of the world's robot.

    `skew_ns`: what to take from ROS time to get the world's.
    """
    if has_stock_topics(world):
        return Fr3Inputs(node, world, lock, controller)
    return GroupInputs(node, world, lock, skew_ns)


class Fr3Inputs:
    """CRISP's topics and its gripper's."""

    def __init__(self, node: Node, world: World, lock: threading.Lock, controller: str) -> None:
        self._lock, self._crisp = lock, CrispController(world, controller)
        self.commanded_ns = 0
        self._targets = {
            row.name: topics.subscription(node, row, callback)
            for row, callback in (
                (topics.TARGET_JOINT, self._on_joints),
                (topics.TARGET_POSE, self._on_pose),
                (topics.TARGET_WRENCH, self._on_wrench),
                (topics.TARGET_STIFFNESS, self._on_stiffness),
                (topics.GRIPPER_COMMAND, self._on_gripper),
            )
        }

    def select(self, controller: str) -> None:
        """Activate one of CRISP's controllers."""
        with self._lock:
            self._crisp.select(controller)

    def forget(self) -> None:
        """Drop what older messages left; the caller has the lock."""
        self._crisp.forget()

    def commanders(self) -> int:
        """Count the publishers of targets."""
        return sum(map(self._publisher_count, (topics.TARGET_JOINT, topics.TARGET_POSE)))

    def health(self) -> tuple[str, dict[str, object]]:
        """Return conflicts, and what was accepted and ignored."""
        crisp = self._crisp
        values: dict[str, object] = {
            "controller": crisp.active,
            "commands_accepted": crisp.accepted,
            "publisher_conflicts": ",".join(crisp.conflicts),
            "last_ignored": crisp.reason,
        }
        values.update({f"ignored.{topic}": count for topic, count in crisp.ignored.items()})
        return (f"commands ignored: {crisp.reason}" if crisp.conflicts else "", values)

    def _publisher_count(self, row: topics.Topic) -> int:
        return int(self._targets[row.name].get_publisher_count())

    def _on_joints(self, message: Any) -> None:
        publishers = self._publisher_count(topics.TARGET_JOINT)
        self.commanded_ns = time.monotonic_ns()
        with self._lock:
            self._crisp.joints(message.position, message.velocity, publishers)

    def _on_pose(self, message: Any) -> None:
        publishers = self._publisher_count(topics.TARGET_POSE)
        self.commanded_ns = time.monotonic_ns()
        at, turn = message.pose.position, message.pose.orientation
        with self._lock:
            self._crisp.pose((at.x, at.y, at.z), (turn.x, turn.y, turn.z, turn.w), publishers)

    def _on_wrench(self, message: Any) -> None:
        publishers = self._publisher_count(topics.TARGET_WRENCH)
        force, torque = message.wrench.force, message.wrench.torque
        values = (force.x, force.y, force.z, torque.x, torque.y, torque.z)
        with self._lock:
            self._crisp.wrench(values, publishers)

    def _on_stiffness(self, message: Any) -> None:
        publishers = self._publisher_count(topics.TARGET_STIFFNESS)
        with self._lock:
            self._crisp.stiffness(message.data, publishers)

    def _on_gripper(self, message: Any) -> None:
        with self._lock:
            self._crisp.gripper(message.data)


class GroupInputs:
    """The topics of each group's controller, as its YAML names them."""

    def __init__(
        self, node: Node, world: World, lock: threading.Lock, skew_ns: Callable[[], int]
    ) -> None:
        self._node, self._world, self._lock, self._skew_ns = node, world, lock, skew_ns
        self.commanded_ns = 0
        self._accepted: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._reason, self._refused_ns, self._logged_ns = "", 0, -REPORT_NS
        self._moving: list[Any] = []  # subscriptions whose commands move arms
        self._actions: list[Any] = []
        for group in world.robot.groups:
            for topic in make_controller(group).topics(group):
                self._listen(group, topic)

    def select(self, controller: str) -> None:
        """Do nothing: the groups of other robots have one controller each."""

    def forget(self) -> None:
        """Hold where the robot is; the caller has the lock."""
        self._world.hold()

    def commanders(self) -> int:
        """Count the publishers of commands that move the arms."""
        return sum(one.get_publisher_count() for one in self._moving)

    def health(self) -> tuple[str, dict[str, object]]:
        """Return the newest refusal of the last two seconds, and the counts."""
        kinds = {group.controller.kind for group in self._world.robot.groups}
        values: dict[str, object] = {
            "controller": ",".join(sorted(kinds)),
            "commands_accepted": sum(self._accepted.values()),
            "last_ignored": self._reason,
        }
        values.update({f"ignored.{topic}": count for topic, count in self._ignored.items()})
        fresh = self._reason and time.monotonic_ns() - self._refused_ns < 2 * NS
        return (f"commands refused: {self._reason}" if fresh else "", values)

    def _listen(self, group: Group, topic: Topic) -> None:
        if topic.interface in ACTIONS and find_spec("control_msgs") is not None:
            self._serve(group, topic)
            return
        kind, name = topic.interface, topic.name
        if "/action/" in kind:  # the forward command controller's way, see the simulation's docs
            kind, name = FLOAT64_ARRAY, f"{name.rpartition('/')[0]}/commands"
        row = topics.Topic(name, kind, topics.COMMAND, topics.COMMAND)

        def heard(message: Any) -> None:
            many = kind == JOINT_STATE and one.get_publisher_count() > 1
            why = f"{name} has {one.get_publisher_count()} publishers, needs one" if many else ""
            self._take(group, name, READERS[kind](message, self._skew_ns()), why)

        one = topics.subscription(self._node, row, heard)
        if group.kind != "gripper":
            self._moving.append(one)

    def _take(self, group: Group, name: str, value: Any, why: str = "") -> str:
        """Hand a value to its group, and say loudly where it is refused."""
        if group.kind != "gripper":
            self.commanded_ns = time.monotonic_ns()
        if not why:
            with self._lock:
                why = self._world.receive(group.name, value)
        if not why:
            self._accepted[name] += 1
            return ""
        now = time.monotonic_ns()
        self._ignored[name] += 1
        self._reason, self._refused_ns = f"{name}: {why}", now
        if now - self._logged_ns > REPORT_NS:
            self._logged_ns = now
            self._node.get_logger().warning(f"refused {self._reason}")
        return why

    def _serve(self, group: Group, topic: Topic) -> None:
        from arfm_ros.nodes.sim.gripper import GripperAction

        def take(request: Any) -> str:
            return self._take(group, topic.name, READERS[topic.interface](request, 0))

        def position() -> float:
            with self._lock:
                return float(self._world.state(group.name).position[0])

        axis = group.axes[0]
        self._actions.append(GripperAction(self._node, topic, axis, take, position))


def _trajectory(message: Any, skew_ns: int) -> JtcMessage:
    stamp, points = message.header.stamp, []
    for point in message.points:
        fields = (point.positions, point.velocities, point.accelerations, point.effort)
        rows = [np.array(values) if len(values) else None for values in fields]
        due = point.time_from_start
        positions = np.zeros(0) if rows[0] is None else rows[0]
        points.append(Point(due.sec * NS + due.nanosec, positions, *rows[1:]))
    at = stamp.sec * NS + stamp.nanosec
    return JtcMessage(tuple(message.joint_names), max(1, at - skew_ns) if at else 0, points)


READERS: dict[str, Callable[[Any, int], Any]] = {
    JOINT_STATE: lambda m, _: JointTarget(
        tuple(m.name), np.array(m.position), np.array(m.velocity)
    ),
    FLOAT64_ARRAY: lambda m, _: Values(np.array(m.data)),
    JOINT_TRAJECTORY: _trajectory,
    gripper_command.ACTION: lambda goal, _: GripperGoal(goal.command.position, 0.0),
    parallel_gripper_command.ACTION: lambda goal, _: GripperGoal(goal.command.position[0], 0.0),
}

"""What the simulated robot reports: joint states, gripper, tool pose and twist, clock, task."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.diagnostics import Health, status
from arfm_ros.nodes.sim.params import has_stock_topics
from arfm_ros.robots.files.bodies import read_tree
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.poses import Pose, from_quaternions
from arfm_ros.robots.robot import Group
from arfm_ros.sim.robot import RobotState
from arfm_ros.sim.timeline import Send
from arfm_ros.sim.world import World

GRIPPER_JOINT = "gripper_joint"  # as CRISP's Franka hand adapter has it


class Outputs(Protocol):
    """What a robot reports: each call copies the state and returns what sends it later."""

    def joints(self, stamp: Time) -> Send:
        """Prepare the joint states of arms, and of grippers that share their topic."""

    def grippers(self, stamp: Time) -> Send:
        """Prepare the states of grippers that have a topic of their own."""

    def tools(self, stamp: Time) -> Send:
        """Prepare the tools' poses and twists."""

    def task(self, name: str, health: Health, stamp: Time) -> None:
        """Publish how the task goes."""


def outputs_of(node: Node, world: World) -> Outputs:
    """Open the publishers of the world's robot; its description is latched at once."""
    if world.robot.description:
        told = topics.publisher(node, topics.ROBOT_DESCRIPTION)
        told.publish(String(data=world.robot.description))
    return Fr3Outputs(node, world) if has_stock_topics(world) else GroupOutputs(node, world)


class Fr3Outputs:
    """The FR3's topics; messages are reused, for this runs hundreds of times a second."""

    def __init__(self, node: Node, world: World) -> None:
        self._world = world
        self._joints = topics.publisher(node, topics.JOINT_STATES)
        self._gripper = topics.publisher(node, topics.GRIPPER_STATES)
        self._tool = ToolOutput(node, "", fr3.BASE_FRAME)
        self._task = topics.publisher(node, topics.TASK_STATE)
        self._joint_message = JointState(name=list(fr3.JOINT_NAMES))
        self._joint_message.header.frame_id = fr3.BASE_FRAME
        self._gripper_message = JointState(name=[GRIPPER_JOINT])

    def joints(self, stamp: Time) -> Send:
        """Prepare the arm's position, velocity and effort."""
        return partial(self._send_joints, self._world.robot_state(), stamp)

    def grippers(self, stamp: Time) -> Send:
        """Prepare the gripper's opening, 0 closed .. 1 open."""
        return partial(self._send_gripper, self._world.robot_state().gripper, stamp)

    def tools(self, stamp: Time) -> Send:
        """Prepare the tool's pose and twist in the base frame."""
        pose = self._world.tool_pose()
        return partial(self._tool.send, pose, self._world.tool_twist(), stamp)

    def task(self, name: str, health: Health, stamp: Time) -> None:
        """Publish how the task goes."""
        send_task(self._task, name, health, stamp)

    def _send_joints(self, state: RobotState, stamp: Time) -> None:
        message = self._joint_message
        message.header.stamp = stamp
        message.position = array("d", state.position)
        message.velocity = array("d", state.velocity)
        message.effort = array("d", state.effort)
        self._joints.publish(message)

    def _send_gripper(self, opening: float, stamp: Time) -> None:
        self._gripper_message.header.stamp = stamp
        self._gripper_message.position = array("d", (opening,))
        self._gripper_message.effort = array("d", (0.0,))
        self._gripper.publish(self._gripper_message)


class GroupOutputs:
    """Joint states on each group's topics, under the names and in the numbers of its messages."""

    def __init__(self, node: Node, world: World) -> None:
        self._world = world
        self._task = topics.publisher(node, topics.TASK_STATE)
        shared: dict[str, list[Group]] = {}
        for group in world.robot.groups:
            for name in group.state_topics:
                shared.setdefault(name, []).append(group)
        self._states = [_States(node, name, groups) for name, groups in shared.items()]
        self._tools = [_Tool(node, world, arm.group) for arm in world.arms]

    def joints(self, stamp: Time) -> Send:
        """Prepare the topics with an arm on them."""
        return self._prepare([one for one in self._states if not one.grippers_only], stamp)

    def grippers(self, stamp: Time) -> Send:
        """Prepare the topics with grippers only."""
        return self._prepare([one for one in self._states if one.grippers_only], stamp)

    def tools(self, stamp: Time) -> Send:
        """Prepare each tool's pose and twist, in the base frame of its group."""
        return _all([tool.prepare(stamp) for tool in self._tools])

    def task(self, name: str, health: Health, stamp: Time) -> None:
        """Publish how the task goes."""
        send_task(self._task, name, health, stamp)

    def _prepare(self, states: Sequence[_States], stamp: Time) -> Send:
        return _all([one.prepare(self._world, stamp) for one in states])


class _States:
    """One topic of joint states, and the groups on it."""

    def __init__(self, node: Node, name: str, groups: Sequence[Group]) -> None:
        self._groups = groups
        self.grippers_only = all(group.kind == "gripper" for group in groups)
        self._publisher = topics.publisher(node, topics.JOINT_STATES.at(name))
        axes = [axis for group in groups for axis in group.axes]
        self._message = JointState(name=[axis.message_name for axis in axes])
        self._message.header.frame_id = groups[0].base
        self._scale = np.array([axis.scale for axis in axes])
        self._offset = np.array([axis.offset for axis in axes])

    def prepare(self, world: World, stamp: Time) -> Send:
        """Copy the state; ours = scale * message + offset, and power stays the same."""
        states = [world.state(group.name) for group in self._groups]
        position = np.concatenate([state.position for state in states])
        velocity = np.concatenate([state.velocity for state in states]) / self._scale
        effort = np.concatenate([state.effort for state in states]) * self._scale
        rows = ((position - self._offset) / self._scale, velocity, effort)
        return partial(self._send, rows, stamp)

    def _send(self, rows: Sequence[NDArray[np.float64]], stamp: Time) -> None:
        message = self._message
        message.header.stamp = stamp
        message.position, message.velocity, message.effort = (array("d", row) for row in rows)
        self._publisher.publish(message)


class _Tool:
    """One arm's tool, told in the base frame of its group."""

    def __init__(self, node: Node, world: World, group: str) -> None:
        self._world, self._group = world, group
        chosen = world.robot.group(group)
        self._output = ToolOutput(node, _namespace(chosen, len(world.arms)), chosen.base)
        tree = read_tree(world.robot.description)
        self._into = np.linalg.inv(tree.still_pose(chosen.base or tree.root).matrix)

    def prepare(self, stamp: Time) -> Send:
        """Copy the pose and the twist."""
        position, quaternion = self._world.tool_pose(self._group)
        pose = Pose(self._into @ Pose.of(position, from_quaternions(quaternion)).matrix)
        twist = self._world.tool_twist(self._group).reshape(2, 3) @ self._into[:3, :3].T
        return partial(self._output.send, (pose.position, pose.quaternion), twist.ravel(), stamp)


class ToolOutput:
    """`current_pose` and `current_twist` of one tool, as CRISP's broadcasters have them."""

    def __init__(self, node: Node, namespace: str, frame: str) -> None:
        pose, twist = topics.CURRENT_POSE, topics.CURRENT_TWIST
        self._pose = topics.publisher(node, pose.at(namespace + pose.name))
        self._twist = topics.publisher(node, twist.at(namespace + twist.name))
        self._pose_message, self._twist_message = PoseStamped(), TwistStamped()
        self._pose_message.header.frame_id = frame
        self._twist_message.header.frame_id = frame

    def send(self, pose: tuple[NDArray[Any], NDArray[Any]], twist: NDArray[Any], at: Time) -> None:
        """Publish the tool's pose (position, quaternion xyzw) and twist [6] in the base frame."""
        (x, y, z), (qx, qy, qz, qw) = pose[0].tolist(), pose[1].tolist()
        message = self._pose_message
        message.header.stamp = at
        target = message.pose.position
        target.x, target.y, target.z = x, y, z
        turn = message.pose.orientation
        turn.x, turn.y, turn.z, turn.w = qx, qy, qz, qw
        self._pose.publish(message)
        velocity = self._twist_message
        velocity.header.stamp = at
        linear, angular = velocity.twist.linear, velocity.twist.angular
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = twist.tolist()
        self._twist.publish(velocity)


def send_task(publisher: Any, name: str, health: Health, stamp: Time) -> None:
    """Publish how the task goes."""
    message = DiagnosticArray(status=[status(name, health)])
    message.header.stamp = stamp
    publisher.publish(message)


def _namespace(group: Group, arms: int) -> str:
    """Return where an arm's pose is told: beside its CRISP target, else by name of several."""
    topic = group.command_topics.get("command", "")
    if group.controller.kind.startswith("crisp"):
        return topic[: topic.rfind("/") + 1]
    return f"{group.name}/" if arms > 1 else ""


def _all(sends: Sequence[Send]) -> Send:
    def send() -> None:
        for one in sends:
            one()

    return send


class ClockOutput:
    """Publishes `/clock`, best effort as ROS's own clock subscribers ask for."""

    def __init__(self, node: Node) -> None:
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._publisher = node.create_publisher(Clock, "/clock", qos)

    def publish(self, stamp: Time) -> None:
        """Publish the simulated time."""
        self._publisher.publish(Clock(clock=stamp))


def to_stamp(nanoseconds: int) -> Time:
    """Make a ROS time of integer nanoseconds."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)

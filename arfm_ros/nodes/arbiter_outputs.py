"""What the arbiter sends: the controller's command, the gripper's, and a copy of both."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from arfm_ros.control import fr3
from arfm_ros.control.backends import (
    Backend,
    Command,
    GripperCommand,
    JointTarget,
    PoseTarget,
    Preview,
    Trajectory,
    Values,
)
from arfm_ros.core.decision import Decision
from arfm_ros.nodes import topics
from arfm_ros.nodes.arbiter_inputs import Moment
from arfm_ros.nodes.convert import ns_to_duration, ns_to_time
from arfm_ros.nodes.gripper import GripperParams
from arfm_ros.nodes.verdict import Verdict, verdict_to_diagnostics

AUTHORITY_PERIOD_NS = 1_000_000_000


class ArbiterOutputs:
    """Publishers of the arbiter: the controller's and gripper's command, its copy, authority."""

    def __init__(
        self,
        node: Node,
        backend: Backend,
        names: tuple[str, ...],
        topic: str,
        gripper: GripperParams,
    ) -> None:
        self._node, self._gripper_params = node, gripper
        self._backend, self._gripper_command = backend, GripperCommand()
        row = topics.Topic(
            topic or backend.topic, backend.type_name, topics.COMMAND, topics.COMMAND
        )
        self._command = topics.publisher(node, row)
        self._gripper = topics.publisher(node, topics.GRIPPER_COMMAND)
        self._sent = topics.publisher(node, topics.ARBITER_COMMAND)
        self._authority = topics.publisher(node, topics.AUTHORITY)
        self._verdicts = topics.publisher(node, topics.CHUNK_RESULT)
        self._said = ("", 0)
        self._sent_message = JointState(name=list(names))

    def publish(self, decision: Decision, now: Moment, preview: Preview) -> None:
        """Send what `decision` asks for, if anything."""
        now_ns = now.steady_ns
        self._say(decision.authority, now_ns)
        if decision.command is None:
            self._gripper_command.forget()
        stamp = ns_to_time(now.ros_ns)
        command = self._backend.command(decision, now_ns, preview)
        if command is not None:
            self._command.publish(MESSAGES[type(command)](command, stamp))
        if decision.command is None:
            return
        opening = self._gripper_command.due(float(decision.command[fr3.DOF]), now_ns)
        if opening is not None:
            value = self._gripper_params.command(opening)
            self._gripper.publish(Float64MultiArray(data=array("d", (value,))))
        self._sent_message.header.stamp = stamp
        self._sent_message.position = _doubles(decision.command)
        self._sent_message.velocity = _doubles(decision.velocity)
        self._sent.publish(self._sent_message)

    def intruders(self) -> str:
        """Name who else publishes on a command topic; '' when nobody does."""
        own = self._node.get_fully_qualified_name()
        for topic in (self._command.topic_name, self._gripper.topic_name):
            if self._node.count_publishers(topic) <= 1:
                continue
            infos = self._node.get_publishers_info_by_topic(topic)
            names = [f"{i.node_namespace.rstrip('/')}/{i.node_name}" for i in infos]
            if own in names:
                names.remove(own)  # once: another arbiter of the same name stays
            return f"{topic} has another publisher: {', '.join(names)}; stop it, then reset"
        return ""

    def judged(self, verdict: Verdict) -> None:
        """Tell what became of a chunk."""
        self._verdicts.publish(verdict_to_diagnostics(verdict))

    def _say(self, authority: str, now_ns: int) -> None:
        said, at_ns = self._said
        if authority == said and 0 <= now_ns - at_ns < AUTHORITY_PERIOD_NS:
            return
        self._said = (authority, now_ns)
        self._authority.publish(String(data=authority))


def _doubles(values: Any) -> array[float]:
    return array("d", np.ascontiguousarray(values, dtype=np.float64).tobytes())


def _joint_target(command: JointTarget, stamp: Time) -> JointState:
    message = JointState(name=list(fr3.JOINT_NAMES))
    message.header.stamp = stamp
    message.header.frame_id = fr3.BASE_FRAME
    message.position = _doubles(command.position)
    message.velocity = _doubles(command.velocity)
    return message


def _pose_target(command: PoseTarget, stamp: Time) -> PoseStamped:
    message = PoseStamped()
    message.header.stamp = stamp
    message.header.frame_id = command.frame
    at, turn = message.pose.position, message.pose.orientation
    at.x, at.y, at.z = command.position.tolist()
    turn.x, turn.y, turn.z, turn.w = command.quaternion_xyzw.tolist()
    return message


def _trajectory(command: Trajectory, stamp: Time) -> JointTrajectory:
    message = JointTrajectory(joint_names=list(fr3.JOINT_NAMES))
    message.header.stamp = stamp
    message.points = [
        JointTrajectoryPoint(
            positions=_doubles(position),
            velocities=_doubles(velocity),
            time_from_start=ns_to_duration(time_ns),
        )
        for time_ns, position, velocity in zip(
            command.times_ns, command.positions, command.velocities
        )
    ]
    return message


def _values(command: Values, stamp: Time) -> Float64MultiArray:
    return Float64MultiArray(data=_doubles(command.data))


MESSAGES: dict[type[Command], Callable[[Any, Time], Any]] = {
    JointTarget: _joint_target,
    PoseTarget: _pose_target,
    Trajectory: _trajectory,
    Values: _values,
}

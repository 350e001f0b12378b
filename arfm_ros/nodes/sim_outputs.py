"""What the simulated robot reports: joint states, gripper, tool pose and twist, clock, task."""

from __future__ import annotations

from array import array
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from arfm_ros.control import fr3
from arfm_ros.nodes import topics
from arfm_ros.nodes.diagnostics import Health, status
from arfm_ros.sim.robot import RobotState

GRIPPER_JOINT = "gripper_joint"  # as CRISP's Franka hand adapter has it


class RobotOutputs:
    """Publishes robot states; messages are reused, for this runs hundreds of times a second."""

    def __init__(self, node: Node) -> None:
        self._joints = topics.publisher(node, topics.JOINT_STATES)
        self._gripper = topics.publisher(node, topics.GRIPPER_STATES)
        self._pose = topics.publisher(node, topics.CURRENT_POSE)
        self._twist = topics.publisher(node, topics.CURRENT_TWIST)
        self._task = topics.publisher(node, topics.TASK_STATE)
        self._joint_message = JointState(name=list(fr3.JOINT_NAMES))
        self._joint_message.header.frame_id = fr3.BASE_FRAME
        self._gripper_message = JointState(name=[GRIPPER_JOINT])
        self._pose_message, self._twist_message = PoseStamped(), TwistStamped()
        self._pose_message.header.frame_id = fr3.BASE_FRAME
        self._twist_message.header.frame_id = fr3.BASE_FRAME

    def joints(self, state: RobotState, stamp: Time) -> None:
        """Publish the arm's position, velocity and effort."""
        message = self._joint_message
        message.header.stamp = stamp
        message.position = array("d", state.position)
        message.velocity = array("d", state.velocity)
        message.effort = array("d", state.effort)
        self._joints.publish(message)

    def gripper(self, state: RobotState, stamp: Time) -> None:
        """Publish the gripper's opening, 0 closed .. 1 open."""
        self._gripper_message.header.stamp = stamp
        self._gripper_message.position = array("d", (state.gripper,))
        self._gripper_message.effort = array("d", (0.0,))
        self._gripper.publish(self._gripper_message)

    def tool(self, pose: tuple[NDArray[Any], NDArray[Any]], twist: NDArray[Any], at: Time) -> None:
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

    def task(self, name: str, health: Health, stamp: Time) -> None:
        """Publish how the task goes."""
        message = DiagnosticArray(status=[status(name, health)])
        message.header.stamp = stamp
        self._task.publish(message)


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

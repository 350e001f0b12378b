"""A process that looks like a running robot: plain rclpy, knows nothing of this stack.

Usage: foreign_robot.py URDF 'JOINT=POSITION,...' TRAJECTORY_TOPIC CAMERA_TOPIC
"""

from __future__ import annotations

import sys
from pathlib import Path

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory


def main() -> None:
    """Publish until killed."""
    urdf, pairs, trajectory, camera = sys.argv[1:]
    rclpy.init()
    node = rclpy.create_node("foreign_robot")
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    described = node.create_publisher(String, "robot_description", latched)
    described.publish(String(data=Path(urdf).read_text()))
    states = node.create_publisher(JointState, "joint_states", 10)
    node.create_publisher(Image, camera, 10)
    node.create_subscription(JointTrajectory, trajectory, lambda message: None, 10)
    values = dict(pair.split("=") for pair in pairs.split(","))
    message = JointState(name=list(values), position=[float(v) for v in values.values()])
    node.create_timer(0.02, lambda: states.publish(message))
    print("ready", flush=True)
    rclpy.spin(node)


if __name__ == "__main__":
    main()

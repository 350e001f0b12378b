"""A person and the policy share the arm: the stack with a device.

ros2 launch arfm_ros shared.launch.py teleop:=joy [robot:=franka] [sim:=true] [task:=lift]
"""

from launch import LaunchDescription

from arfm_ros.up.stack.launched import description


def generate_launch_description() -> LaunchDescription:
    """Describe the launch."""
    return description(default="franka", teleop="joy")

"""Start the stack on a Franka FR3, or with `sim:=true` in simulation.

ros2 launch arfm_ros franka.launch.py [sim:=true] [task:=lift] [policy:=FOLDER] [record:=false]
"""

from launch import LaunchDescription

from arfm_ros.up.stack.launched import description


def generate_launch_description() -> LaunchDescription:
    """Describe the launch."""
    return description("franka")

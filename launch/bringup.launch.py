"""Start the stack on any robot of config/robots, or of a YAML of yours.

ros2 launch arfm_ros bringup.launch.py robot:=ur5e [sim:=true] [task:=reach] [policy:=FOLDER]
"""

from launch import LaunchDescription

from arfm_ros.up.stack.launched import description


def generate_launch_description() -> LaunchDescription:
    """Describe the launch."""
    return description()

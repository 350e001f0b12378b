"""Start the stack on a Franka FR3, or with `sim:=true` in simulation.

ros2 launch arfm_ros franka.launch.py [sim:=true] [task:=lift] [policy:=FOLDER] [record:=false]
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration

from arfm_ros.bringup import TASKS, Setup, stack
from arfm_ros.up.launched import actions

ARGUMENTS = (
    DeclareLaunchArgument(
        "sim", default_value="false", choices=["true", "false"], description="simulate the robot"
    ),
    DeclareLaunchArgument(
        "policy", default_value="", description="bundle folder or name; empty: the shipped one"
    ),
    DeclareLaunchArgument(
        "task", default_value="lift", choices=list(TASKS), description="task of the simulation"
    ),
    DeclareLaunchArgument(
        "record", default_value="true", choices=["true", "false"], description="record episodes"
    ),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of all nodes"),
)


def nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Turn the described stack into launch actions."""
    given = {a.name: LaunchConfiguration(a.name).perform(context) for a in ARGUMENTS}
    setup = Setup(
        sim=given["sim"] == "true",
        policy=given["policy"],
        task=given["task"],
        record=given["record"] == "true",
        namespace=given["namespace"],
    )
    return actions(stack(setup))


def generate_launch_description() -> LaunchDescription:
    """Describe the launch."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=nodes)])

"""The stack under ROS 2's launch: the rules by which `arfm up` starts, watches and stops it.

Everything starts at once, and each node waits for what it needs. A node that ends without having
been told to breaks the launch, whose exit status is then 1; the end of the run ends it with 0.
A stop reaches all nodes at once, so their order lies in the nodes: the arbiter brakes before it
ends, the simulated robot follows until nobody commands it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from arfm_ros.bringup import END, PACKAGE, TASKS, TELEOP, NodeProcess, Setup, robots, stack
from arfm_ros.up.stack.process import GRACE_S, NodeDied, how_it_ended


def description(robot: str = "", default: str = "", teleop: str = "") -> LaunchDescription:
    """Describe the launch of one robot ("": an argument names it, by default `default`).

    `teleop` is the default of the device that shares the arm.
    """
    text = {"default_value": "false", "choices": ["true", "false"]}
    given = [
        DeclareLaunchArgument("sim", description="simulate the robot", **text),
        DeclareLaunchArgument(
            "policy", default_value="", description="bundle folder or name; empty: the shipped one"
        ),
        DeclareLaunchArgument(
            "task", default_value="lift", choices=list(TASKS), description="of the simulation"
        ),
        DeclareLaunchArgument(
            "record", description="record episodes", **{**text, "default_value": "true"}
        ),
        DeclareLaunchArgument("namespace", default_value="", description="of all nodes"),
        DeclareLaunchArgument("plan", default_value="", description="YAML of instructions"),
        DeclareLaunchArgument(
            "teleop", default_value=teleop, description=f"{', '.join(TELEOP)} (bag:FOLDER)"
        ),
        DeclareLaunchArgument("console", description="a page for operators", **text),
    ]
    if not robot:
        known = f"one of {', '.join(robots())}, or the path of a YAML"
        usual = {"default_value": default} if default else {}
        given.append(DeclareLaunchArgument("robot", description=known, **usual))

    def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
        chosen = {a.name: LaunchConfiguration(a.name).perform(context) for a in given}
        return actions(stack(_setup(chosen, robot)))

    return LaunchDescription([*given, OpaqueFunction(function=start)])


def _setup(chosen: Mapping[str, str], robot: str) -> Setup:
    return Setup(
        robot=robot or chosen["robot"],
        sim=chosen["sim"] == "true",
        policy=chosen["policy"],
        task=chosen["task"],
        record=chosen["record"] == "true",
        namespace=chosen["namespace"],
        teleop=chosen["teleop"],
        console=chosen["console"] == "true",
        plan=chosen["plan"],
    )


def actions(nodes: Sequence[NodeProcess]) -> list[LaunchDescriptionEntity]:
    """Turn the processes of the stack into launch actions."""
    made: list[LaunchDescriptionEntity] = []
    for node in nodes:
        action = Node(
            package=PACKAGE,
            executable=node.name,
            name=node.name,
            namespace=node.namespace,
            parameters=[*filter(None, [node.config]), dict(node.parameters)],
            remappings=list(node.remaps.items()),
            additional_env=dict(node.env),
            output="screen",
            sigterm_timeout=str(node.stop_s),
        )
        # before the process itself, so that no end is too early to be noticed
        watch = OnProcessExit(target_action=action, on_exit=_ended(node))
        made += [RegisterEventHandler(watch), action]
    return made


def _ended(node: NodeProcess) -> Callable[[Any, Any], list[LaunchDescriptionEntity] | None]:
    """Give what launch does when the process has ended."""

    def ended(event: Any, context: Any) -> list[LaunchDescriptionEntity] | None:
        if context.is_shutdown:
            return None  # it was told to
        if node.on_exit == END and event.returncode == 0:
            text = f"{node.name} is done: the launch ends"
            return [LogInfo(msg=text), EmitEvent(event=Shutdown(reason=text))]
        how = how_it_ended(event.returncode)
        return [TimerAction(period=GRACE_S, actions=[OpaqueFunction(function=_died(node, how))])]

    return ended


def _died(node: NodeProcess, how: str) -> Callable[[Any], None]:
    def died(context: Any) -> None:
        if not context.is_shutdown:  # a Ctrl-C may reach a node before it reaches launch
            # launch shows an exception as an error, shuts down, and ends with status 1
            raise NodeDied(f"{node.name} died ({how})")

    return died

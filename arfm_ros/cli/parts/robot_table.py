"""What `arfm robot check` prints."""

from __future__ import annotations

from math import isinf

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from arfm_ros.robots.files.examine import AtHome, Examined
from arfm_ros.robots.robot import Group, RobotAxis

WIDTH = 160  # names are never cut


def show_robot(examined: Examined) -> None:
    """Print groups, axes, frames, cameras and findings of a robot."""
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, WIDTH)
    placed = {one.group.name: one for one in examined.at_home}
    for group in examined.robot.groups:
        console.print(_about(group, examined.commands[group.name]), markup=False)
        if group.name in placed:
            console.print(_placed(placed[group.name]), markup=False)
        console.print(_axes(group))
    for camera in examined.robot.cameras:
        console.print(f"camera {camera.name}: {camera.topic}", markup=False)
    for finding in examined.findings:
        console.print(f"note: {finding}", markup=False)
    console.print(f"robot '{examined.robot.name}' can be used")


def _about(group: Group, commands: tuple[str, ...]) -> str:
    options = [f"{name} {value}" for name, value in group.controller.options.items()]
    controller = ", ".join([group.controller.kind, *options])
    return (
        f"group {group.name} ({group.kind}): controller {controller}\n"
        f"  state from {', '.join(group.state_topics)}; command to {', '.join(commands)}"
    )


def _placed(one: AtHome) -> str:
    place = ", ".join(f"{value:.4f}" for value in one.pose.position)
    turn = ", ".join(f"{value:.4f}" for value in one.pose.quaternion)
    apart = (
        "" if isinf(one.nearest_m) else f"; {' and '.join(one.links)} {one.nearest_m:.3f} m apart"
    )
    return (
        f"  at home {one.group.tool} is in {one.group.base or 'the root frame'} at {place} m, "
        f"quaternion xyzw {turn}{apart}"
    )


def _axes(group: Group) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("axis", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for column in ("low", "high", "margin", "velocity", "acceleration", "home"):
        table.add_column(column, no_wrap=True, justify="right")
    table.add_column("published as", no_wrap=True)
    for axis in group.axes:
        table.add_row(*_row(axis))
    return table


def _row(axis: RobotAxis) -> tuple[str, ...]:
    published = axis.published
    if (axis.scale, axis.offset) != (1.0, 0.0):
        published = f"{axis.message_name}, x {axis.scale:g} + {axis.offset:g}"
    numbers = (axis.low, axis.high, axis.margin, axis.velocity, axis.acceleration, axis.home)
    shown = ("no end" if isinf(value) else f"{value:.4g}" for value in numbers)
    return (axis.name, axis.unit, *shown, published)

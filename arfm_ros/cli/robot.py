"""`arfm robot`: the robots that are known, and whether one is well described."""

from __future__ import annotations

import argparse

HELP = "list the robots, check one's description (arfm robot check NAME|FILE)"
EXTRAS = ("arms",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `arfm robot`."""
    words = parser.add_subparsers(dest="word", required=True, metavar="list|check")
    words.add_parser("list", help="name the robots in config/robots")
    check = words.add_parser("check", help="read a robot, print what it is, 1 if it is not right")
    check.add_argument("robot", metavar="NAME|FILE", help="a name of the list, or a YAML file")


def run(args: argparse.Namespace) -> int:
    """List the robots or check one."""
    from arfm_ros.robots.description import find_robot, load_robot, robot_names

    if args.word == "list":
        for name in robot_names():
            robot = load_robot(name)
            groups = ", ".join(f"{g.name} ({len(g.axes)})" for g in robot.groups)
            print(f"{name:<14}{groups}")
        return 0
    from arfm_ros.cli._robot_table import show_robot
    from arfm_ros.robots.examine import examine

    show_robot(examine(load_robot(args.robot), find_robot(args.robot).parent))
    return 0

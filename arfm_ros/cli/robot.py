"""`arfm robot`: the robots that are known, whether one is well described, a draft of a new one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from arfm_ros.core.errors import ConfigError

if TYPE_CHECKING:
    from arfm_ros.robots.robot import Robot

HELP = "list the robots, check a description, draft one from a running robot (robot new)"
EXTRAS = ("ros", "arms")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `arfm robot`."""
    words = parser.add_subparsers(dest="word", required=True, metavar="list|check|new")
    words.add_parser("list", help="name the robots in config/robots")
    check = words.add_parser("check", help="read a robot, print what it is, 1 if it is not right")
    check.add_argument("robot", metavar="NAME|FILE", help="a name of the list, or a YAML file")
    check.add_argument(
        "--running", action="store_true", help="also look at the robot that runs: the preflight"
    )
    check.add_argument("--wait", type=float, default=3.0, metavar="S", help="how long to look")
    new = words.add_parser("new", help="draft NAME.yaml and NAME.urdf from what a robot publishes")
    new.add_argument("name", metavar="NAME", help="name of the robot, and of the files")
    new.add_argument("--out", default=".", metavar="DIR", help="where to write them (default: .)")
    new.add_argument("--urdf", default="", metavar="FILE", help="where none is published")
    new.add_argument("--wait", type=float, default=5.0, metavar="S", help="longest to listen")


def run(args: argparse.Namespace) -> int:
    """List the robots, check one or draft one."""
    return {"list": _list, "check": _check, "new": _new}[args.word](args)


def _list(args: argparse.Namespace) -> int:
    from arfm_ros.robots.files.load import load_robot, robot_names

    for name in robot_names():
        robot = load_robot(name)
        groups = ", ".join(f"{group.name} ({len(group.axes)})" for group in robot.groups)
        print(f"{name:<14}{groups}")
    return 0


def _check(args: argparse.Namespace) -> int:
    from arfm_ros.cli.parts.robot_table import show_robot
    from arfm_ros.robots.files.examine import examine
    from arfm_ros.robots.files.load import find_robot, load_robot

    robot = load_robot(args.robot)
    show_robot(examine(robot, find_robot(args.robot).parent))
    return _show_preflight(robot, args.wait) if args.running else 0


def _show_preflight(robot: Robot, wait_s: float) -> int:
    """Print what the preflight found; 1 if something must not be engaged."""
    from arfm_ros.cli.parts.preflight import preflight
    from arfm_ros.robots.commands.graph import FAIL

    found = preflight(robot, wait_s)
    if found is None:
        raise ConfigError(
            f"no joint states of '{robot.name}' and nobody who publishes any: is the robot "
            "running, in this ROS_DOMAIN_ID and namespace?"
        )
    for group, findings in found.items():
        for one in findings:
            print(f"{one.severity:<5}{group}: {one.text}" + (f" ({one.knob})" if one.knob else ""))
        if not findings:
            print(f"OK   {group}: ready")
    return int(any(one.severity == FAIL for those in found.values() for one in those))


def _new(args: argparse.Namespace) -> int:
    from arfm_ros.cli.parts.robot_graph import hear
    from arfm_ros.robots.files.draft import draft, write_new
    from arfm_ros.robots.files.urdf import find_description

    heard = hear(args.wait, find_description(args.urdf)[0] if args.urdf else "")
    text = draft(args.name, heard, f"{args.name}.urdf")
    path = write_new(Path(args.out), args.name, text, heard.description)
    marks = text.count("# CHECK")
    print(f"wrote {path}; {marks} lines say CHECK. Then: arfm robot check {path}")
    return 0

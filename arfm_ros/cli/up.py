"""Start the whole stack, watch it, and say how it went."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from arfm_ros.bringup import IMAGES, TASKS, TELEOP, Setup, robots
from arfm_ros.core.errors import ConfigError

HELP = "start robot or simulation, policy, arbiter and recorder; watch them; report"
EXTRAS = ("ros", "sim")
EPISODES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `arfm up`."""
    add = parser.add_argument
    add("robot", help=f"one of {', '.join(robots())}, or the path of a YAML")
    add("--sim", action="store_true", help="simulate the robot and its cameras")
    add("--task", choices=TASKS, default="lift", help="task of the episodes (default: lift)")
    add("--episodes", type=int, default=None, help="episodes to run (default: 5)")
    add("--policy", default="", metavar="BUNDLE", help="folder, or name of one in models/")
    add(
        "--record",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="record every episode (default: yes)",
    )
    add(
        "--images",
        choices=IMAGES,
        default="",
        help="pictures to record (default: compressed); with raw ones `arfm replay` is bit-exact",
    )
    add("--out", default="episodes", metavar="DIR", help="where the bags go (default: ./episodes)")
    add("--json", default="", metavar="FILE", help="write the report there")
    add("--plan", default="", metavar="FILE", help="say instructions, one after the other")
    add(
        "--teleop",
        default="",
        metavar="DEVICE",
        help=f"share the arm: {', '.join(TELEOP)} (bag:FOLDER); see docs/shared.md",
    )
    add("--console", action="store_true", help="a page for operators: docs/console.md")
    add("--view", action="store_true", help="open MuJoCo's viewer (needs a display)")
    add("--namespace", default="", metavar="NS", help="ROS namespace of the whole stack")
    add("--time-limit", type=float, default=0.0, metavar="S", help="longest episode (default: 20)")
    add("--seed", type=int, default=0, help="seed of the first episode (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Run the stack; 0 when it ran to its end, 1 on an error, 130 on Ctrl-C."""
    if args.view and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ConfigError("--view needs a display: DISPLAY is not set")
    setup = Setup(
        robot=args.robot,
        sim=args.sim,
        policy=args.policy,
        task=args.task,
        record=args.record,
        images=args.images,
        namespace=args.namespace,
        out=args.out,
        episodes=EPISODES if args.episodes is None else args.episodes,
        seed=args.seed,
        time_limit=args.time_limit,
        view=args.view,
        plan=args.plan,
        teleop=args.teleop,
        console=args.console,
    )
    from arfm_ros.up.stack import run as session
    from arfm_ros.up.watch import report

    outcome = session.run(setup, session.process_begin_s())
    if args.json:
        report.save(Path(args.json), outcome)
    if outcome["error"]:
        return 1
    if outcome["interrupted"]:
        return 130
    if args.episodes is None and setup.sim:
        session.suggest(setup, outcome)
    return 0

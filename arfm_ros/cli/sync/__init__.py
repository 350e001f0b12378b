"""`arfm sync`: episodes to a store, bundles from it, for one robot or for the training machine."""

from __future__ import annotations

import argparse
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arfm_ros.fleet.exchange import Exchanged
    from arfm_ros.fleet.place import Place
    from arfm_ros.fleet.robot import Robot

HELP = "episodes to a folder, ssh or S3 store, the fleet's bundle from it; --collect, --release"
EXTRAS = ("fleet",)
WAITING_S = 1.0  # between two looks whether an episode has ended


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `arfm sync`."""
    add = parser.add_argument
    add("dest", metavar="DEST", help="a folder, ssh://HOST/PATH, s3://BUCKET[/PATH]")
    add("--episodes", type=Path, default=Path("episodes"), help="what goes there (./episodes)")
    add("--bundles", type=Path, default=Path("bundles"), metavar="DIR",
        help="where bundles go; DIR/current is the one in use (./bundles)")  # fmt: skip
    add("--robot", default="", metavar="NAME", help="what this robot is called (its host name)")
    add("--signers", type=Path, metavar="FILE",
        help="whose bundles may drive: ssh's allowed_signers (DIR/allowed_signers)")  # fmt: skip
    add("--engine", default="onnx", metavar="E", help="on which a bundle has to pass")
    add("--policy-node", default="", metavar="NODE", help="it runs here: it takes over at once")
    add("--every", type=float, metavar="S", help="go on for ever, every so many seconds")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--collect", type=Path, metavar="DIR", help="fetch all robots' episodes")
    what.add_argument("--release", metavar="BUNDLE", help="say, signed, what robots run from now")
    what.add_argument("--status", action="store_true", help="what each robot runs")
    add("--key", type=Path, help="release: ssh key to sign with (or .pub, the agent signs)")
    add("--only", action="append", default=[], metavar="ROBOT", help="release: for these only")


def run(args: argparse.Namespace) -> int:
    """Exchange once, or for ever; 1 where something failed."""
    from arfm_ros.fleet.place import open_place

    if args.release or args.status:
        place = open_place(args.dest)
        return _release(place, args) if args.release else _status(place)
    if args.every is None:
        return _once(open_place(args.dest), args)[0]
    while True:
        time.sleep(_again(args))


def _again(args: argparse.Namespace) -> float:
    """Exchange once whatever happens; return the seconds until the next time."""
    from arfm_ros.core.errors import FleetError
    from arfm_ros.fleet.place import open_place

    try:
        waits = _once(open_place(args.dest), args)[1]
    except FleetError as error:
        print(error, flush=True)
        waits = False
    return min(WAITING_S, args.every) if waits else float(args.every)


def _once(place: Place, args: argparse.Namespace) -> tuple[int, bool]:
    """Exchange; return the status, and whether a bundle waits for the end of an episode."""
    from arfm_ros.fleet.exchange import collect, visit

    if args.collect is not None:
        done, waits, word = collect(place, args.collect, _say), False, "fetched"
    else:
        robot = _robot(args)
        done, word = visit(place, robot, _say), "sent"
        waits = robot.state().waits
    _tell(done, word)
    return int(bool(done.failed)), waits


def _robot(args: argparse.Namespace) -> Robot:
    from arfm_ros.engines.gate.trial import Engine
    from arfm_ros.fleet.exchange import check_name
    from arfm_ros.fleet.robot import ALLOWED, Robot

    name = check_name(args.robot or socket.gethostname())
    allowed = args.signers or args.bundles / ALLOWED
    robot = Robot(name, args.bundles, args.episodes, allowed, Engine(args.engine))
    if not args.policy_node:
        return robot
    from arfm_ros.nodes.policy.running import RunningPolicy

    return replace(robot, drives=RunningPolicy(args.policy_node))


def _release(place: Place, args: argparse.Namespace) -> int:
    from arfm_ros.bringup import find_bundle
    from arfm_ros.core.errors import ConfigError
    from arfm_ros.fleet.exchange import check_name
    from arfm_ros.fleet.release import EVERYBODY, publish

    if args.key is None:
        raise ConfigError("--release needs --key: robots run only what somebody signed")
    robots = tuple(check_name(name) for name in args.only) or (EVERYBODY,)
    made = publish(place, find_bundle(args.release), args.key, robots)
    print(f"release {made.serial}: bundle {made.item.sha256[:12]} for {', '.join(robots)}")
    return 0


def _status(place: Place) -> int:
    from rich.console import Console
    from rich.table import Table

    from arfm_ros.fleet.exchange import fleet

    table = Table()
    for column in ("robot", "release", "bundle", "last seen", "problem"):
        table.add_column(column, overflow="fold")
    for row in fleet(place):
        words = (
            str(row.get("serial", "")),
            str(row.get("bundle", ""))[:12],
            str(row.get("when", "")),
        )
        problem = str(row.get("problem") or row.get("refused") or "")
        table.add_row(str(row.get("robot", "")), *words, problem)
    Console().print(table)
    return 0


def _tell(done: Exchanged, word: str) -> None:
    for line in done.failed:
        print(f"failed: {line}")
    print(
        f"{done.sent} episodes {word} ({done.bytes / 1e6:.1f} MB), {done.there} there already, "
        f"{done.labels} labels, {len(done.failed)} failed",
        flush=True,
    )


def _say(text: str) -> None:
    print(text, flush=True)

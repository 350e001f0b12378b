"""`arfm episodes convert`: to LeRobot, and from LeRobot, robomimic and rosbag2."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arfm_ros.core.errors import ConfigError

if TYPE_CHECKING:
    from arfm_ros.datasets.convert import Done
    from arfm_ros.datasets.rows import Rows
    from arfm_ros.episodes.read.topics import Topics
    from arfm_ros.episodes.reader import EpisodeReader

KINDS = ("lerobot", "robomimic", "rosbag2")


def add_convert(words: Any) -> None:
    """Declare the word `convert`."""
    convert = words.add_parser("convert", help="to a LeRobotDataset v3.0, or from other tools'")
    ways = convert.add_mutually_exclusive_group(required=True)
    ways.add_argument("--to", choices=("lerobot",), help="write a dataset into DIR")
    ways.add_argument("--from", choices=KINDS, dest="source", help="write episodes into DIR")
    convert.add_argument("out", type=Path, metavar="DIR", help="goes on where it was left")
    convert.add_argument("given", nargs="+", type=Path, metavar="EPISODES", help="what to convert")
    convert.add_argument("--fps", type=int, default=20, help="rows a second (20)")
    convert.add_argument(
        "--rows", choices=("frames", "even"), default="frames",
        help="a row for each frame of the first camera, or at even times",
    )  # fmt: skip
    convert.add_argument(
        "--resample", action="append", default=[], metavar="FIELD=METHOD",
        help="observation.state, observation.images or action = last, nearest or interpolated",
    )  # fmt: skip
    convert.add_argument("--images", action="store_true", help="no video: pictures as recorded")
    convert.add_argument("--robot", default="", help="whose topics are read (docs/robots.md)")
    convert.add_argument("--topics", type=Path, help="topic map, with --robot")
    convert.add_argument("--task", default="", help="of a robomimic file")


def run_convert(args: argparse.Namespace) -> int:
    """Convert; 1 where an episode was refused."""
    import time

    begin_s = time.monotonic()
    done = _to_lerobot(args) if args.to else _from(args)
    for line in done.refused:
        print(f"refused: {line}")
    seconds = time.monotonic() - begin_s
    rate = f", {done.frames / seconds:.0f} frames/s" if done.frames else ""
    print(f"{args.out}: {done.made} made, {done.there} there already, "
          f"{len(done.refused)} refused, {seconds:.1f} s{rate}")  # fmt: skip
    return int(bool(done.refused))


def _to_lerobot(args: argparse.Namespace) -> Done:
    from arfm_ros.datasets.convert import to_lerobot
    from arfm_ros.datasets.resample import Given, Resampling
    from arfm_ros.learn.data.frames import find_episodes

    how = Resampling(args.fps, args.rows, **Given(args.resample).methods())
    folders, topics = find_episodes(args.given), _topics(args)
    return to_lerobot(folders, args.out, how, topics, not args.images, returns_table)


def returns_table(reader: EpisodeReader, rows: Rows) -> Any:
    """Make the side-car of an episode: what is left of every reward, by row."""
    import numpy as np

    from arfm_ros.datasets.libraries import library
    from arfm_ros.datasets.rows import held
    from arfm_ros.episodes.task_state import read_task_state
    from arfm_ros.episodes.windows import EpisodeArrays
    from arfm_ros.learn.signals.rewards import TERMS, returns_to_go
    from arfm_ros.robots.embodiment import Embodiment, default

    due_ns = rows.stamp_ns + int(np.diff(rows.stamp_ns).min(initial=50_000_000))
    arrays = EpisodeArrays(
        images={}, state=rows.state, stamp_ns=rows.stamp_ns, commands=rows.sent,
        command_stamp_ns=due_ns, authority=np.array(held(rows.authority, due_ns)),
        instruction=rows.instruction, success=rows.success, task=rows.task, folder=rows.folder,
    )  # fmt: skip
    known = {axis.name: axis for axis in default().action}
    state, action = (_axes(names, known) for names in (rows.state_names, rows.action_names))
    found = returns_to_go(arrays, read_task_state(reader), Embodiment(state, action))
    columns = {f"return.{term}": found[:, n] for n, term in enumerate(TERMS)}
    known = np.isfinite(found)  # a term that nobody told stays NaN
    baseline = np.where(known, found, 0.0).sum(axis=0) / known.sum(axis=0).clip(min=1)
    columns |= {f"advantage.{t}": found[:, n] - baseline[n] for n, t in enumerate(TERMS)}
    return library("pyarrow").table({"frame_index": np.arange(len(found)), **columns})


def _axes(names: Sequence[str], known: Any) -> tuple[Any, ...]:
    from arfm_ros.core.values.spec import Axis

    return tuple(known.get(name, Axis(name)) for name in names)


def _from(args: argparse.Namespace) -> Done:
    from arfm_ros.datasets.convert import each

    made: list[Any] = []
    if args.source == "lerobot":
        from arfm_ros.datasets.lerobot.read import LerobotFolder
        from arfm_ros.datasets.training import lerobot_targets

        several = len(args.given) > 1
        for root in args.given:
            made += lerobot_targets(
                LerobotFolder(root), args.out / root.name if several else args.out
            )
    elif args.source == "robomimic":
        from arfm_ros.datasets import robomimic

        for path in args.given:
            made += robomimic.targets(path, args.out, args.task)
    else:
        from arfm_ros.datasets import rosbag2

        made += rosbag2.targets(args.given, args.out, _topics(args))
    args.out.mkdir(parents=True, exist_ok=True)
    return each("episodes", made)


def _topics(args: argparse.Namespace) -> Topics:
    from arfm_ros.episodes.read.topic_map import load_topic_map
    from arfm_ros.episodes.read.topics import OWN, topics_of
    from arfm_ros.robots.files.load import load_robot

    if args.topics and not args.robot:
        raise ConfigError("--topics needs --robot: whose joints it tells of")
    if not args.robot:
        return OWN
    robot = load_robot(args.robot)
    return load_topic_map(args.topics, robot) if args.topics else topics_of(robot)

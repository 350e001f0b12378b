"""`arfm demos`: scripted demonstrations in the simulator, in the episode format."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from arfm_ros.cli.parts.words import rebuild
from arfm_ros.core.errors import ConfigError

if TYPE_CHECKING:
    from arfm_ros.sim.record.batch import Options

HELP = "record scripted demonstrations in the simulator"
EXTRAS = ("sim",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("--task", action="append", help="reach, lift, push or place (repeatable)")
    parser.add_argument(
        "--robot", default="", help="a robot of config/robots or a YAML file (default: fr3)"
    )
    parser.add_argument("--episodes", type=int, default=200, help="episodes per task")
    parser.add_argument(
        "--quality",
        default="full",
        help="full, good, mixed, poor, paces, segments, stitch, halves or graded "
        "(docs/learning.md)",
    )
    parser.add_argument("--wide", type=float, default=0.0, help="share of random arm starts")
    parser.add_argument("--thrown", type=float, default=0.0, help="share with the arm thrown off")
    parser.add_argument(
        "--vary",
        default="",
        metavar="KIND:LOW..HIGH",
        help="domain randomisation: each kind (those of eval --perturb) in half of the episodes, "
        "light:0.5..1.6,colours:0..1,distractors:0..2",
    )
    parser.add_argument("--no-images", action="store_true", help="physics only: object poses")
    parser.add_argument(
        "--takeover", type=Path, help="bundle that drives first, until the expert takes over"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the first episode")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument(
        "--env",
        default="",
        metavar="NAME[:TASK]",
        help="of another environment, by its own expert: metaworld:mt10, metaworld:push-v3",
    )
    parser.add_argument(
        "--camera", action="append", help="of --env: NAME or NAME=HEIGHTxWIDTH (default: none)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the episodes")


def run(args: argparse.Namespace) -> int:
    """Record the episodes and print the success rate of each task."""
    from arfm_ros.sim.record.batch import Batch, note_command, record_batch

    tasks, options = _of_environment(args) if args.env else _of_table(args)
    name = f"demo_{{task}}_{args.quality}"
    batch = Batch(tasks, args.episodes, args.seed, args.out, name, by_task=bool(args.env))
    note_command(args.out, rebuild("demos", args))
    for task, (good, count) in record_batch(batch, options, args.workers).items():
        print(f"{task}: {good} of {count} episodes succeeded")
    return 0


def _of_table(args: argparse.Namespace) -> tuple[tuple[str, ...], Options]:
    """Read what is demonstrated on the simulated table, and how."""
    from arfm_ros.sim.expert.quality import quality
    from arfm_ros.sim.perturb import read_ranges
    from arfm_ros.sim.record.demos import DEFAULT_ROBOT, DemoOptions
    from arfm_ros.sim.tasks import make_task

    if args.camera:
        raise ConfigError("--camera needs --env: the simulated table records all its cameras")
    tasks = tuple(args.task or ("lift",))
    for task in tasks:
        make_task(task)
    return tasks, DemoOptions(
        quality=quality(args.quality),
        wide=args.wide,
        thrown=args.thrown,
        vary=read_ranges(args.vary),
        robot=args.robot or DEFAULT_ROBOT,
        takeover=args.takeover,
        cameras=() if args.no_images else None,
    )


def _of_environment(args: argparse.Namespace) -> tuple[tuple[str, ...], Options]:
    """Read what is demonstrated in another environment."""
    from arfm_ros.cli.parts.recorded import camera
    from arfm_ros.evaluate.envs.catalogue import find_venue
    from arfm_ros.evaluate.envs.demonstrate import EnvironmentOptions
    from arfm_ros.sim.expert.quality import quality

    own = ("robot", "wide", "thrown", "vary", "takeover")
    given = [name for name in own if getattr(args, name)]
    if given:
        raise ConfigError(f"--{given[0]} is of the simulated table: leave it out with --env")
    venue = find_venue(args.env, args.task or ())
    cameras = tuple(camera(text) for text in args.camera or ())
    return venue.tasks, EnvironmentOptions(venue.name, quality(args.quality), cameras)

"""Measure the whole stack on this machine against what it must reach."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "measure the stack against its targets: ./arfm bench stack"
EXTRAS = ("ros", "sim")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `arfm bench`."""
    parser.add_argument("what", choices=("stack",), help="what to measure")
    parser.add_argument("--episodes", type=int, default=20, help="per task (default: 20)")
    parser.add_argument("--policy", default="", metavar="BUNDLE", help="bundle to measure with")
    parser.add_argument(
        "--seed",
        type=int,
        default=1_000_000,
        help="of the first episode (default: not trained on)",
    )
    parser.add_argument("--out", default="episodes", metavar="DIR", help="where the bags go")
    parser.add_argument("--json", default="", metavar="FILE", help="write the measurements there")


def run(args: argparse.Namespace) -> int:
    """Run lift and reach headless; 1 when a target was missed or a run broke."""
    from arfm_ros.bringup import Setup
    from arfm_ros.up import bench, report, session

    parity = bench.parity_of(args.policy)
    runs = {}
    for task in bench.TASKS_MEASURED:
        setup = Setup(
            sim=True,
            policy=args.policy,
            task=task,
            episodes=args.episodes,
            seed=args.seed,
            out=args.out,
        )
        runs[task] = session.run(setup)
        if runs[task]["error"]:
            return 1
    lines = bench.judge(runs, parity)
    bench.show(lines, runs)
    if args.json:
        results = {"targets": [line.as_dict() for line in lines], "runs": runs}
        report.save(Path(args.json), results)
    return int(not all(line.met for line in lines))

"""`arfm bench gpu`: one prepared run for a machine with a GPU."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `arfm bench gpu`."""
    gpu = parser.add_argument_group("gpu: all in at most --seconds (480), each part by itself")
    gpu.add_argument(
        "--device",
        default="cuda",
        choices=("cuda", "cpu"),
        help="cpu: in tiny sizes, to try the run itself (default: cuda)",
    )
    gpu.add_argument(
        "--table", type=Path, metavar="FILE", help="print the tables of what --json wrote there"
    )


def run(args: argparse.Namespace) -> int:
    """Measure all parts, or print the tables of an earlier run; 1 when a part broke."""
    from arfm_ros.bench.gpu.parts import MOST_S, Setting
    from arfm_ros.bench.gpu.report import markdown, read
    from arfm_ros.bench.gpu.run import run_all
    from arfm_ros.bringup import find_bundle

    if args.table:
        print(markdown(read(args.table)))
        return 0
    setting = Setting(args.device, str(find_bundle(args.policy, "lift")))
    file = Path(args.json) if args.json else None
    found = run_all(setting, MOST_S if args.seconds is None else args.seconds, file, _say)
    print(markdown(found))
    return int(any(part["state"] == "failed" for part in found["parts"].values()))


def _say(text: str) -> None:
    print(text, flush=True)

"""Break the running stack on purpose, and judge what it does."""

from __future__ import annotations

import argparse
from pathlib import Path

from arfm_ros.core.errors import ConfigError

HELP = "inject faults into the running simulated stack and judge the motion"
EXTRAS = ("ros", "sim")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `arfm faults`."""
    add = parser.add_argument
    add("--n", type=int, default=0, metavar="N", help="faults to inject (default: one of each)")
    add("--seed", type=int, default=0, help="seed of their order, times and sizes (default: 0)")
    add(
        "--only",
        action="append",
        default=[],
        metavar="KIND",
        help="only kinds whose name begins so; may be repeated",
    )
    add("--json", default="", metavar="FILE", help="write injected, violations and rows there")
    add("--list", action="store_true", help="name the kinds and end")
    add("--core", type=int, default=0, metavar="TICKS", help="fuzz the core alone, without ROS")


def run(args: argparse.Namespace) -> int:
    """Inject; 0 when every promise was kept, 1 otherwise."""
    if args.n < 0 or args.core < 0:
        raise ConfigError(f"--n {args.n}, --core {args.core}: neither may be negative")
    if args.core:
        return _core(args)
    from arfm_ros.faults import report, run
    from arfm_ros.faults.inject.kinds import chosen
    from arfm_ros.up.watch.report import save

    kinds = chosen(args.only)
    if args.list:
        print("\n".join(kind.name for kind in kinds))
        return 0
    trials = run.draw(kinds, args.n or len(kinds), args.seed)
    rows = run.run(trials, lambda row: print(report.line(row), flush=True))
    report.show(rows)
    outcome = run.outcome(rows, args.seed)
    if args.json:
        save(Path(args.json), outcome)
    return int(outcome["violations"] > 0)


def _core(args: argparse.Namespace) -> int:
    """Fuzz the arbiter's core."""
    from arfm_ros.faults.fuzz import fuzz
    from arfm_ros.up.watch.report import save

    result = fuzz(args.core, args.seed)
    print(result.text())
    if args.json:
        save(Path(args.json), result.as_dict())
    return int(bool(result.violations))

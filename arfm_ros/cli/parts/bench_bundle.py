"""`arfm bench BUNDLE`: its latencies, alone or against the library that trained it."""

from __future__ import annotations

import argparse
from pathlib import Path

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.precisions import PRECISIONS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `arfm bench BUNDLE`."""
    bundle = parser.add_argument_group("a bundle, beside eager torch where that is installed")
    bundle.add_argument("--engine", default="onnx", metavar="E", help="as in arfm check")
    bundle.add_argument(
        "--precision", default="", help=f"{', '.join(PRECISIONS)} (default: as built)"
    )
    bundle.add_argument("--providers", nargs="+", default=["default"], metavar="P")
    bundle.add_argument("--threads", type=int, default=2, help="(default: 2)")
    bundle.add_argument(
        "--fast-slow",
        type=float,
        default=0.0,
        metavar="PERIOD_S",
        help="instead: contexts and chunks in one thread and in two, a chunk every PERIOD_S",
    )
    bundle.add_argument(
        "--reuse-views",
        type=float,
        default=0.0,
        metavar="GREY",
        help="instead, of a bundle exported with --views: the prefix while all, one or none of "
        "the pictures changed by more than so many grey levels",
    )
    against = parser.add_argument_group("a bundle beside the library that trained it")
    against.add_argument(
        "--against",
        metavar="lerobot:FOLDER",
        help="the checkpoint that it was exported from: LeRobot's own policy, in turns, and the "
        "memory of both",
    )
    against.add_argument(
        "--interface",
        type=Path,
        help="the file of the export, where the bundle sees fewer cameras",
    )
    against.add_argument(
        "--compiled", action="store_true", help="and LeRobot's policy by torch.compile"
    )


def run(args: argparse.Namespace) -> int:
    """Time a bundle's graphs and chunks beside what the machine could do at best."""
    from arfm_ros.bench import table
    from arfm_ros.bench.bundle import Choice, bench_bundle
    from arfm_ros.bringup import find_bundle
    from arfm_ros.cli.parts import bench_rates
    from arfm_ros.up.watch.report import save

    if args.data:
        raise ConfigError(f"{args.data[0]}: one bundle at a time; episodes are for bench train")
    if args.fast_slow > 0.0:
        return bench_rates.compare(args)
    if args.reuse_views > 0.0:
        return bench_rates.compare_kept(args)
    if args.against:
        return _against(args)
    if args.interface or args.compiled:
        raise ConfigError("--interface, --compiled: of --against lerobot:FOLDER")
    choice = Choice(args.engine, args.precision, tuple(args.providers), args.threads, args.seconds)
    results = bench_bundle(find_bundle(args.what), choice, print)
    table.show(results)
    if args.json:
        save(Path(args.json), results)
    return int(not all(one["met"] for one in results["follow_on"].values()))


def _against(args: argparse.Namespace) -> int:
    from arfm_ros.bench.against.measure import Against, bench_against
    from arfm_ros.bench.against.show import show
    from arfm_ros.bringup import find_bundle
    from arfm_ros.up.watch.report import save

    if (args.engine, args.precision, args.providers) != ("onnx", "", ["default"]):
        raise ConfigError("--against compares float32 on the CPU: leave out --engine, --precision")
    choice = Against(args.against, args.interface, args.threads, args.seconds, args.compiled)
    results = bench_against(find_bundle(args.what), choice, print)
    show(results)
    if args.json:
        save(Path(args.json), results)
    return 0

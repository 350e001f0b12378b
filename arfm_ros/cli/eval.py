"""`arfm eval`: a bundle's success in the simulator, closed loop, with an interval."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = "measure a bundle's success in the headless simulator"
EXTRAS = ("sim",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("bundle", type=Path, help="folder of the policy bundle")
    parser.add_argument("--task", action="append", help="repeatable; default: the bundle's tasks")
    parser.add_argument("--episodes", type=int, default=100, help="episodes per task")
    parser.add_argument("--seed", type=int, default=1_000_000, help="seed of the first episode")
    parser.add_argument("--delay-ms", type=int, default=50, help="observation to chunk")
    parser.add_argument("--period-ms", type=int, default=100, help="between two inferences")
    parser.add_argument("--steps", type=int, default=None, help="flow steps (default: bundle's)")
    parser.add_argument(
        "--rtc", choices=("bundle", "none"), default="bundle", help="none: never guide chunks"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--json", type=Path, default=None, help="write the results here")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print one line per task."""
    from arfm_ros.engines import load_bundle
    from arfm_ros.sim.driver import DriverConfig
    from arfm_ros.sim.evaluate import evaluate, summary

    tasks = args.task or list(load_bundle(args.bundle).spec.instructions)
    config = DriverConfig(
        period_ms=args.period_ms,
        latency_ms=args.delay_ms,
        steps=args.steps,
        guide=args.rtc == "bundle",
    )
    report = {}
    for task in tasks:
        results = evaluate(
            args.bundle, task, range(args.seed, args.seed + args.episodes), config, args.workers
        )
        report[task] = summary(results)
        low, high = report[task]["interval"]
        rate = report[task]["success_rate"]
        print(f"{task}: {100 * rate:.1f} % of {len(results)} [{100 * low:.1f}, {100 * high:.1f}]")
    if args.json:
        first = next(iter(report.values())) if len(report) == 1 else {"tasks": report}
        args.json.write_text(json.dumps(first, indent=1))
    return 0

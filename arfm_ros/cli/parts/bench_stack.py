"""What `arfm bench stack` runs: the simulated stack, or the robot side by itself."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from arfm_ros.core.errors import ConfigError


def whole(args: argparse.Namespace) -> int:
    """Run lift and reach headless."""
    from arfm_ros.bringup import Setup
    from arfm_ros.up import targets as bench
    from arfm_ros.up.stack import run as session
    from arfm_ros.up.watch import report

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


def beside_pictures(args: argparse.Namespace) -> int:
    """Measure the nodes beside a robot of recorded pictures."""
    from arfm_ros.bringup import Setup
    from arfm_ros.engines.gate.machine import processor
    from arfm_ros.up.light.measure import measure
    from arfm_ros.up.stack.run import own_domain
    from arfm_ros.up.targets import show_lines
    from arfm_ros.up.watch.report import save

    if not args.seconds > 0:
        raise ConfigError(f"--seconds {args.seconds:g}: needs more than 0")
    with own_domain(Setup(sim=True)), tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "logs").mkdir()
        costs = measure(args.source, args.policy, args.seconds, place / "bags", place / "logs")
    print(f"{costs}; on {processor()}")
    lines = costs.lines()
    show_lines(lines, "what the robot side must reach")
    if args.json:
        save(Path(args.json), costs.as_json() | {"targets": [line.as_dict() for line in lines]})
    return int(not all(line.met for line in lines))

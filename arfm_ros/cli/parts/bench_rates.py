"""`arfm bench BUNDLE --fast-slow`: one thread and two."""

from __future__ import annotations

import argparse
from pathlib import Path

from arfm_ros.bench.fast_slow import compare_rates
from arfm_ros.bringup import find_bundle
from arfm_ros.engines import load_policy
from arfm_ros.up.watch.report import save


def compare(args: argparse.Namespace) -> int:
    """Make contexts and chunks one after the other, then side by side."""
    policy = load_policy(
        find_bundle(args.what),
        engine=args.engine,
        precision=args.precision,
        threads=args.threads,
        providers=args.providers,
    )
    results = compare_rates(policy, policy.spec, args.fast_slow, args.seconds, print)
    if args.json:
        save(Path(args.json), results)
    return 0

"""`arfm bench BUNDLE --fast-slow`, one thread and two; `--reuse-views`, pictures that stay."""

from __future__ import annotations

import argparse
from pathlib import Path

from arfm_ros.bench.fast_slow import compare_rates
from arfm_ros.bench.views import compare_views
from arfm_ros.bringup import find_bundle
from arfm_ros.core.errors import ConfigError
from arfm_ros.engines import EnginePolicy, load_policy
from arfm_ros.engines.server.remote import RemotePolicy
from arfm_ros.up.watch.report import save


def compare(args: argparse.Namespace) -> int:
    """Make contexts and chunks one after the other, then side by side."""
    policy = _opened(args)
    results = compare_rates(policy, policy.spec, args.fast_slow, args.seconds, print)
    if args.json:
        save(Path(args.json), results)
    return 0


def compare_kept(args: argparse.Namespace) -> int:
    """Time the prefix while all, some and none of the pictures are other ones."""
    policy = _opened(args)
    if not isinstance(policy, EnginePolicy):
        raise ConfigError("--reuse-views: the policy is on a server, which keeps what it wants to")
    seen = policy.spec.example(0)
    results = compare_views(policy, seen, args.reuse_views, args.seconds, print)
    if args.json:
        save(Path(args.json), results)
    return 0


def _opened(args: argparse.Namespace) -> EnginePolicy | RemotePolicy:
    return load_policy(
        find_bundle(args.what),
        engine=args.engine,
        precision=args.precision,
        threads=args.threads,
        providers=args.providers,
    )

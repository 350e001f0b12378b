"""`arfm check`: does a bundle compute on this machine what it computed where it was made?"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "replay a bundle's reference observations on this machine"
EXTRAS = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("bundle", type=Path, help="folder of the bundle")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the measurement here too")


def run(args: argparse.Namespace) -> int:
    """Replay and print the differences; 1 if they are too large."""
    from arfm_ros.engines import load_policy
    from arfm_ros.engines.replay import load_reference, parity_json, replay

    policy = load_policy(args.bundle, threads=args.threads)
    parity = replay(policy, load_reference(args.bundle))
    text = parity_json(parity, name=policy.spec.name)
    print(text, end="")
    if args.json:
        args.json.write_text(text)
    print("passed" if parity.passed else "FAILED: do not run this bundle on this machine")
    return 0 if parity.passed else 1

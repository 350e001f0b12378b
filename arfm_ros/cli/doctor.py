"""Check what a first user trips over and say the fix."""

from __future__ import annotations

import argparse
import json

HELP = "check this machine: OpenGL, shared memory, ROS, network, policy; say the fix"
EXTRAS = ("ros", "sim")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `arfm doctor`."""
    parser.add_argument("--policy", default="", metavar="BUNDLE", help="bundle to check")
    parser.add_argument("--out", default="episodes", metavar="DIR", help="where bags would go")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Run every check; 1 when one failed."""
    from arfm_ros.doctor import FAIL, examine

    findings = examine(args.policy, args.out)
    if args.json:
        print(json.dumps([finding.as_dict() for finding in findings], indent=1))
    else:
        for finding in findings:
            print(finding.line())
    return int(any(finding.level == FAIL for finding in findings))

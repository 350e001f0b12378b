"""`arfm check`: does a bundle compute on this machine what it computed where it was made?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arfm_ros.cli.parts.access import add_access, granted
from arfm_ros.core.precisions import PRECISIONS

if TYPE_CHECKING:
    from arfm_ros.engines import Bundle

HELP = "replay a bundle's reference on this machine and engine; parity.json keeps the result"
EXTRAS = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("bundle", help="folder of the bundle, or the name of one in models/")
    parser.add_argument(
        "--engine",
        default="onnx",
        metavar="E",
        help="onnx, torch, or tensorrt, tensorrt_rtx (after `arfm export`)",
    )
    parser.add_argument(
        "--precision", default="", help=f"{', '.join(PRECISIONS)} (default: as built)"
    )
    parser.add_argument(
        "--providers",
        nargs="+",
        default=["default"],
        metavar="P",
        help="in order of preference, the first that runs: tensorrt, cuda, cpu of onnx "
        "(default: cpu), cuda, cpu of torch (default: cuda)",
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", metavar="FILE", help="write the record here too (-: print it)")
    add_access(parser)


def run(args: argparse.Namespace) -> int:
    """Replay, keep and print the differences; 1 if they are too large."""
    from arfm_ros.bringup import find_bundle
    from arfm_ros.engines import EnginePolicy, load_bundle, load_policy
    from arfm_ros.engines.gate.proof import proof_path, prove

    folder = find_bundle(args.bundle)
    bundle = load_bundle(folder)
    if bundle.remote is not None:
        return _ask(bundle, args)
    policy = load_policy(
        folder,
        engine=args.engine,
        precision=args.precision,
        threads=args.threads,
        providers=args.providers,
    )
    assert isinstance(policy, EnginePolicy)  # it is not on a server
    record = prove(bundle, policy)
    text = json.dumps(record, indent=1) + "\n"
    if args.json == "-":
        print(text, end="")
    else:
        print(f"{policy.spec.name} with {policy.runtime.describe()}")
        print(describe(record))
        print(f"kept in {proof_path(folder, policy.runtime)}")
        if args.json:
            Path(args.json).write_text(text)
    return 0 if record["passed"] else 1


def _ask(bundle: Bundle, args: argparse.Namespace) -> int:
    """Ask a policy's server for one chunk; there is nothing to compare it with."""
    from arfm_ros.engines.server.remote import open_remote, probe

    uri = str((bundle.remote or {}).get("uri"))
    policy = open_remote(bundle, access=granted(args, uri))
    answer = f"{policy.runtime.device} answered within {probe(policy):.0f} ms"
    print(f"{policy.spec.name}: {answer}")
    print("its network is on the server: there is nothing to compare")
    return 0


def describe(record: dict[str, Any]) -> str:
    """Say in lines what was measured, beside what is allowed."""
    limits = record["limits"]
    steps = " ".join(f"{error:.1e}" for error in record["step_errors"])
    verdict = "passed" if record["passed"] else "FAILED: do not run this bundle on this engine"
    return (
        f"each step       {steps}\n"
        f"worst step      {record['max_step_relative']:.1e} of the largest velocity, allowed "
        f"{limits['step']:.0e}\n"
        f"guided step     {record['max_guided_error']:.1e} of it, allowed {limits['step']:.0e}\n"
        f"chunk           {record['max_chunk_relative']:.1e} of the largest action, from the "
        f"network's inputs, allowed {limits['chunk']:.0e}\n"
        f"commands        {record['max_action_relative']:.1e} of the largest, from raw pictures "
        "and states\n"
        f"worst joint     {record['worst_joint_error_rad']:.1e} rad ({record['worst_joint']}), "
        f"allowed {record['allowed_rad']:.0e} rad\n"
        f"cosine          {record['cosine']:.7f}, at least {limits['cosine']}\n"
        f"{verdict} on {record['observations']} observations"
    )

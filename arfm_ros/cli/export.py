"""`arfm export`: a training checkpoint becomes a bundle that runs without torch."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "export a training run as a policy bundle and check it against torch"
EXTRAS = ("train",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="run folder of `arfm train`")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--name", help="name of the policy (default: the folder's)")
    parser.add_argument(
        "--rtc",
        choices=("none", "guided", "prefix"),
        help="how chunks follow on from the previous one (default: as trained, else guided)",
    )


def run(args: argparse.Namespace) -> int:
    """Export, measure parity and speed, print both."""
    from arfm_ros.export.bundle import export_bundle

    parity = export_bundle(args.run_folder, args.out, args.name or args.out.name, rtc=args.rtc)
    size = sum(file.stat().st_size for file in args.out.iterdir()) / 2**20
    print(f"{args.out}: {size:.1f} MiB, ONNX against torch {parity.max_chunk_error:.1e} per chunk")
    print((args.out / "parity.json").read_text())
    return 0

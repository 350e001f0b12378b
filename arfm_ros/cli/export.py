"""`arfm export`: a training checkpoint becomes a bundle; a bundle gets an engine for a GPU."""

from __future__ import annotations

import argparse
from pathlib import Path

from arfm_ros.cli.parts.access import add_access, granted

HELP = "export a training run as a policy bundle; build its engine for a GPU"
EXTRAS = ("train",)  # for a run; what else other sources need, see `arfm`
LIBRARIES = ("transformers", "lerobot")  # whose checkpoints are exported
KNOWN = "transformers:FOLDER, lerobot:FOLDER, remote:ws://HOST:PORT, a run folder or a bundle"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="run folder of `arfm train`, a bundle, transformers:FOLDER (a pi0 checkpoint), "
        "lerobot:FOLDER (pi0, pi05, smolvla, act, diffusion), or remote:ws://HOST:PORT (an "
        "openpi server)",
    )
    parser.add_argument("--out", type=Path, help="folder of the bundle that a run becomes")
    parser.add_argument(
        "--interface",
        type=Path,
        help="YAML file: which cameras and joints are the network's (docs/vla.md)",
    )
    parser.add_argument("--name", help="name of the policy (default: the folder's)")
    parser.add_argument(
        "--rtc",
        choices=("none", "guided", "prefix"),
        help="how chunks follow on from the previous one (default: as trained, else guided)",
    )
    parser.add_argument(
        "--engine",
        choices=("onnx", "tensorrt", "tensorrt_rtx"),
        default="onnx",
        help="also build the bundle's engine for this runtime",
    )
    parser.add_argument("--precision", choices=("fp32", "fp16", "bf16"), default="fp32")
    parser.add_argument(
        "--sm",
        type=int,
        nargs="+",
        default=[],
        metavar="SM",
        help="tensorrt_rtx: compute capabilities to build for, 89 for 8.9 "
        "(default: this machine's GPU; without one 86 89 120)",
    )
    add_access(parser)


def run(args: argparse.Namespace) -> int:
    """Export a run, build an engine, or both; say what to check next."""
    from arfm_ros.core.errors import ConfigError
    from arfm_ros.engines.bundle import POLICY

    if args.source.startswith("remote:"):
        return _export_remote(args)
    foreign = args.source.partition(":")[0] in LIBRARIES
    args.source = args.source if foreign else _own(args.source)
    is_bundle = not foreign and (args.source / POLICY).is_file()
    wanted = args.engine != "onnx" or args.precision != "fp32" or bool(args.sm)
    if is_bundle == (args.out is not None) or (is_bundle and not wanted):
        what = "a bundle" if is_bundle else "a run"
        need = "--engine or --precision, and no --out" if is_bundle else "--out"
        raise ConfigError(f"{args.source} is {what}, which needs {need}")
    bundle: Path = args.source if is_bundle else args.out
    if not is_bundle:
        _export_run(args)
    if wanted:
        _build(bundle, args)
    return 0


def _own(source: str) -> Path:
    """Find a run, or a bundle by its folder or its name in models/."""
    from arfm_ros.bringup import shipped_bundles
    from arfm_ros.core.errors import ConfigError

    path = shipped_bundles().get(source) or Path(source)
    if ":" in source and not path.exists():
        raise ConfigError(f"'{source.partition(':')[0]}' of {source} is not known: give {KNOWN}")
    return path


def _export_remote(args: argparse.Namespace) -> int:
    from arfm_ros.core.errors import ConfigError
    from arfm_ros.export.remote import KIND, export_remote

    if args.out is None:
        raise ConfigError(f"{args.source} needs --out")
    name = args.name or args.out.name
    access = granted(args, args.source.removeprefix(KIND))
    spec = export_remote(args.source, args.interface, args.out, name, access)
    print(f"{args.out}: {spec.horizon} actions of {len(spec.action)} from {args.source[7:]}")
    return 0


def _export_run(args: argparse.Namespace) -> None:
    name = args.name or args.out.name
    if isinstance(args.source, Path):
        from arfm_ros.export.bundle import export_bundle

        parity = export_bundle(args.source, args.out, name, rtc=args.rtc)
    else:
        import torch

        from arfm_ros.export.vla.model import export_vla

        torch.set_num_threads(1)  # tracing is Python; on shared cores more threads only wait
        parity = export_vla(args.source, args.interface, args.out, name, args.rtc)
    size = sum(file.stat().st_size for file in args.out.iterdir()) / 2**20
    print(
        f"{args.out}: {size:.1f} MiB, torch: {parity.max_chunk_relative:.1e} per chunk from "
        f"the network's inputs, {parity.max_action_relative:.1e} of commands from raw observations"
    )
    print((args.out / "parity.json").read_text())


def _build(bundle: Path, args: argparse.Namespace) -> None:
    from arfm_ros.export.build import build_engine

    folder = build_engine(bundle, args.engine, args.precision, args.sm)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
    engine = "" if args.engine == "onnx" else f" --engine {args.engine}"
    print(f"{folder}: {size:.1f} MiB")
    print(f"next, where it will run: arfm check {bundle}{engine} --precision {args.precision}")

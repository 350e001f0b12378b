"""`arfm export`: a training checkpoint becomes a bundle; a bundle gets an engine for a GPU."""

from __future__ import annotations

import argparse
from pathlib import Path

from arfm_ros.cli.parts.access import add_access, granted
from arfm_ros.core.errors import ConfigError
from arfm_ros.core.precisions import FEW_BITS, PRECISIONS

HELP = "export a training run as a policy bundle; build its engine for a GPU"
EXTRAS = ("train",)  # for a run; what else other sources need, see `arfm`
LIBRARIES = ("transformers", "lerobot", "openpi")  # whose checkpoints are exported
FEWEST = "fewest"
FIRST_SEED, DELAY_MS = 2_000_000, 50  # starts that `arfm eval` does not take by default
OF_BUNDLE = "--engine or --precision, and no --out"
OF_NEW = "--out alone, which writes its graphs again; or --steps and --out"
KNOWN = (
    "transformers:FOLDER, lerobot:FOLDER, openpi:FOLDER, remote:ws://HOST:PORT (or tcp://, "
    "http://), a run folder or a bundle"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="run folder of `arfm train`, a bundle, transformers:FOLDER (a pi0 checkpoint), "
        "lerobot:FOLDER (docs/vla.md lists the policies), openpi:FOLDER (pi0, pi05 as openpi's "
        "PyTorch code saves them), or a policy's server "
        "(remote:ws://HOST:PORT of openpi, tcp:// of GR00T, http:// of OpenVLA)",
    )
    parser.add_argument("--out", type=Path, help="bundle that a run, or a bundle, becomes")
    parser.add_argument(
        "--interface",
        type=Path,
        help="YAML file: which cameras and joints are the network's (docs/vla.md)",
    )
    parser.add_argument(
        "--weights",
        choices=("fp32", "bf16", "fp16"),
        default="fp32",
        help="what a checkpoint's matrices are stored in (default: fp32); half of it halves file "
        "and memory, and all is computed in float32 still",
    )
    _add_pictures(parser)
    parser.add_argument("--name", help="name of the policy (default: the folder's)")
    parser.add_argument(
        "--rtc",
        choices=("none", "guided", "prefix"),
        help="how chunks follow on from the previous one (default: as trained, else guided)",
    )
    _add_engine(parser)
    _add_steps(parser)
    add_access(parser)


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--views",
        action="store_true",
        help="SmolVLA, pi0, pi0.5: a graph of one picture apart from the prefix, so that a camera "
        "whose picture stays the same need not be encoded again (docs/vla.md)",
    )
    parser.add_argument(
        "--keep-tokens",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="of the same: how many of a picture's tokens go into the prefix, those that repeat "
        "others left out; says what that changes (default: 1, all)",
    )


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        choices=("onnx", "tensorrt", "tensorrt_rtx"),
        default="onnx",
        help="also build the bundle's engine for this runtime",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="of products of matrices (default: fp32); of onnx, for a CPU, int8 and int4 (weights "
        "alone) need no data",
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        nargs="+",
        metavar="EPISODE",
        help="int8, fp8, nvfp4: episodes that the policy drove; their largest values scale the "
        "operands (default: the bundle's reference)",
    )
    parser.add_argument(
        "--sm",
        type=int,
        nargs="+",
        default=[],
        metavar="SM",
        help="tensorrt_rtx: compute capabilities to build for, 89 for 8.9 "
        "(default: this machine's GPU; without one 86 89 120)",
    )


def _add_steps(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--steps",
        metavar="N",
        help="evaluations of the network for a chunk, instead of the run's or the bundle's; of a "
        f"bundle also '{FEWEST}': as few as cost no task more than a point of success",
    )
    parser.add_argument("--solver", help="of a run's flow: euler (default), ab2, midpoint or heun")
    parser.add_argument(
        "--episodes", type=int, default=200, help=f"--steps {FEWEST}: starts of each task"
    )
    parser.add_argument(
        "--keep", type=Path, help=f"--steps {FEWEST}: keep episodes here, the next call goes on"
    )


def run(args: argparse.Namespace) -> int:
    """Export a run, build an engine, or both; say what to check next."""
    from arfm_ros.engines.bundle import POLICY

    if args.source.startswith("remote:"):
        return _export_remote(args)
    foreign = args.source.partition(":")[0] in LIBRARIES
    args.source = args.source if foreign else _own(args.source)
    is_bundle = not foreign and (args.source / POLICY).is_file()
    wanted = args.engine != "onnx" or args.precision != "fp32" or bool(args.sm)
    if is_bundle and args.steps and args.out and not wanted and not args.solver:
        _export_steps(args)
        return 0
    if is_bundle and args.out and not (wanted or args.steps or args.solver or args.rtc):
        _write_again(args)
        return 0
    if is_bundle == (args.out is not None) or (is_bundle and not wanted):
        what = "a bundle" if is_bundle else "a run"
        need = f"{OF_BUNDLE}; or {OF_NEW}" if is_bundle else "--out"
        raise ConfigError(f"{args.source} is {what}, which needs {need}")
    bundle: Path = args.source if is_bundle else args.out
    if not is_bundle:
        _export_run(args)
    if wanted:
        _build(bundle, args)
    return 0


def _write_again(args: argparse.Namespace) -> None:
    """Write a bundle's graphs anew, as this version makes them, with the same weights."""
    from arfm_ros.export.again import write_again

    parity = write_again(args.source, args.out)
    print(
        f"{args.out}: {parity.max_step_relative:.1e} per step and {parity.max_chunk_relative:.1e} "
        f"per chunk from the reference; next, where it will run: arfm check {args.out}"
    )


def _own(source: str) -> Path:
    """Find a run, or a bundle by its folder or its name in models/."""
    from arfm_ros.bringup import path_of

    path = path_of(source)
    if ":" in source and not path.exists():
        raise ConfigError(f"'{source.partition(':')[0]}' of {source} is not known: give {KNOWN}")
    return path


def _export_remote(args: argparse.Namespace) -> int:
    from arfm_ros.export.remote import KIND, export_remote

    if args.out is None:
        raise ConfigError(f"{args.source} needs --out")
    name = args.name or args.out.name
    access = granted(args, args.source.removeprefix(KIND))
    spec = export_remote(args.source, args.interface, args.out, name, access)
    print(f"{args.out}: {spec.horizon} actions of {len(spec.action)} from {args.source[7:]}")
    return 0


def _count(steps: str | None) -> int | None:
    if steps is not None and not (steps.isdecimal() and int(steps)):
        raise ConfigError(f"--steps {steps}: a run needs a count, 1 or more")
    return None if steps is None else int(steps)


def _export_steps(args: argparse.Namespace) -> None:
    """Write a bundle again with another count of steps."""
    from arfm_ros.export.steps import with_steps

    if args.steps != FEWEST:
        with_steps(args.source, args.out, _count(args.steps) or 0)
        print(f"{args.out}: {args.steps} steps; next: arfm eval {args.out}")
        return
    from arfm_ros.engines import load_bundle
    from arfm_ros.evaluate.fewest import fewest_steps
    from arfm_ros.evaluate.sweep import OWN, Plan
    from arfm_ros.sim.drive.driver import DriverConfig

    plan = Plan(
        bundles=(args.source,),
        tasks=tuple(load_bundle(args.source).spec.instructions),
        modes=(OWN,),
        delays_ms=(DELAY_MS,),
        seeds=range(FIRST_SEED, FIRST_SEED + args.episodes),
        config=DriverConfig(),
        out=args.keep,
    )
    count, tried = fewest_steps(plan)
    with_steps(args.source, args.out, count, [one.as_json() for one in tried])
    print(f"{args.out}: {count} steps; next: arfm eval {args.out}")


def _export_run(args: argparse.Namespace) -> None:
    name = args.name or args.out.name
    if isinstance(args.source, Path):
        from arfm_ros.export.bundle import export_bundle
        from arfm_ros.export.running import Running

        running = Running(args.rtc, _count(args.steps), args.solver or "")
        parity = export_bundle(args.source, args.out, name, running=running)
    else:
        import torch

        from arfm_ros.export.vla.model import VlaRunning, export_vla

        torch.set_num_threads(1)  # tracing is Python; on shared cores more threads only wait
        if args.steps or args.solver:
            raise ConfigError("--steps, --solver: of a run of `arfm train`, or of a bundle")
        running = VlaRunning(args.rtc, args.weights, args.keep_tokens, args.views)
        parity = export_vla(args.source, args.interface, args.out, name, running)
    size = sum(file.stat().st_size for file in args.out.iterdir()) / 2**20
    print(
        f"{args.out}: {size:.1f} MiB, torch: {parity.max_chunk_relative:.1e} per chunk from "
        f"the network's inputs, {parity.max_action_relative:.1e} of commands from raw observations"
    )
    print((args.out / "parity.json").read_text())


def _build(bundle: Path, args: argparse.Namespace) -> None:
    from arfm_ros.export.build import build_engine

    if args.calibrate and args.precision not in FEW_BITS:
        raise ConfigError(f"--calibrate is of {', '.join(FEW_BITS)}, not of {args.precision}")
    folder = build_engine(bundle, args.engine, args.precision, args.sm, episodes=args.calibrate)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
    engine = "" if args.engine == "onnx" else f" --engine {args.engine}"
    print(f"{folder}: {size:.1f} MiB")
    print(f"next, where it will run: arfm check {bundle}{engine} --precision {args.precision}")

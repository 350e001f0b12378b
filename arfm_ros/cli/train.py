"""`arfm train`: episodes in, a policy checkpoint out."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arfm_ros.cli.parts.interventions import add_interventions, interventions_of
from arfm_ros.cli.parts.objectives import add_objective, objective_knobs, signal_config
from arfm_ros.cli.parts.recorded import add_robot, camera, recorded_robot
from arfm_ros.cli.parts.tuning import add_tuning, run_tuning
from arfm_ros.cli.parts.words import rebuild
from arfm_ros.core.errors import ConfigError

if TYPE_CHECKING:
    from arfm_ros.learn.loop.train import TrainConfig

HELP = "train a flow-matching policy on recorded or simulated episodes"
EXTRAS = ("train",)
UNSET_IS_0 = {"minutes", "steps", "seed", "threads", "distil"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "data", nargs="+", type=Path, help="folders with episodes, or LeRobotDatasets"
    )
    parser.add_argument("--out", type=Path, required=True, help="run folder")
    add_training(parser)
    parser.add_argument("--success-only", action="store_true", help="leave failed episodes out")
    parser.add_argument(
        "--authority", default="", help="keep only steps commanded by these, comma-separated"
    )
    add_interventions(parser, "learn what a person did who corrected the policy (HG-DAgger)")
    _add_senses(parser)
    parser.add_argument(
        "--statistics",
        type=Path,
        action="append",
        help="episodes whose spread a new policy's normalisation takes, as of tasks that it will "
        "learn later (repeatable; default: DATA)",
    )
    parser.add_argument("--dt", type=float, help="s between actions of a new policy (0.05)")
    add_robot(parser)
    _add_beginning(parser)
    add_tuning(parser)
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")


def add_training(parser: argparse.ArgumentParser) -> None:
    """Declare what `train_config` reads."""
    parser.add_argument("--minutes", type=float, default=0.0, help="wall-clock budget")
    parser.add_argument("--steps", type=int, default=0, help="number of optimiser steps instead")
    parser.add_argument("--batch", type=int, default=128, help="observations a step")
    parser.add_argument("--draws", type=int, default=4, help="noise draws an observation")
    _add_delays(parser)
    parser.add_argument("--learning-rate", type=float, default=8e-4)
    parser.add_argument(
        "--freeze-vision", action="store_true", help="do not train the camera encoders of --init"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="default: 2 on a processor")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("auto", "bf16", "fp16", "fp32"), default="auto")
    parser.add_argument("--shift", type=int, default=2, help="image shift augmentation in pixels")
    parser.add_argument("--state-noise", type=float, default=0.01, help="rad; 0 switches it off")
    parser.add_argument(
        "--outlier",
        type=float,
        default=20.0,
        help="leave out observations with an action further off, in standard deviations; 0: none",
    )
    add_objective(parser)


def _add_senses(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--camera",
        action="append",
        help="NAME or NAME=HEIGHTxWIDTH of a new policy (repeatable; default: scene and wrist)",
    )
    parser.add_argument(
        "--no-images",
        action="store_true",
        help="a small new policy that sees the objects' poses, which only a simulator tells",
    )
    parser.add_argument(
        "--state",
        help="what a new policy sees of what was measured, comma-separated: hand_*,gripper "
        "(default: all)",
    )
    parser.add_argument(
        "--objects",
        default="",
        help="of --no-images: such as cup_x,cup_yaw (default: those of the tabletop tasks)",
    )


def _add_beginning(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--init", type=Path, help="start from the weights of this run or bundle")
    parser.add_argument(
        "--distil",
        type=int,
        default=0,
        metavar="K",
        help="learn to do in K steps what the policy of --init does in many (docs/learning.md)",
    )
    parser.add_argument(
        "--warm-start",
        type=Path,
        help="a new policy begins with all weights of this run or bundle that fit, of another "
        "robot it may be",
    )
    parser.add_argument(
        "--new-velocity",
        action="store_true",
        help="of --init keep what it sees; the velocity network begins anew",
    )


def _add_delays(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--delay-max",
        type=int,
        default=0,
        help="ticks a chunk may be late, to train a prefix; 0: as --init was trained",
    )
    parser.add_argument(
        "--delay-share", type=float, default=0.5, help="of the draws, whose chunks are late"
    )
    parser.add_argument(
        "--delay-bias", type=float, default=1.0, help="above 1 long delays are drawn more often"
    )
    parser.add_argument(
        "--delay-noise",
        type=float,
        default=0.0,
        help="how far given actions stray from the data, in standard deviations",
    )
    parser.add_argument(
        "--delay-input",
        action="store_true",
        help="of --delay-max: also tell the network how many first actions are given",
    )


def run(args: argparse.Namespace) -> int:
    """Load the episodes, train, leave checkpoint.pt in the run folder."""
    if args.policy:
        return run_tuning(args)
    from arfm_ros.datasets.training import as_episodes
    from arfm_ros.learn.loop import begin as session

    _check_eyes(args)
    own = {**recorded_robot(args), **new_policy(args)}
    args.out.mkdir(parents=True, exist_ok=True)
    plan = session.Plan(
        data=as_episodes(args.data, args.out / "episodes"),
        out=args.out,
        train=train_config(args),
        success_only=args.success_only,
        authority=_authority(args.authority),
        interventions=interventions_of(args),
        init=_begun(args.init),
        warm_start=_begun(args.warm_start),
        resume=args.resume,
        new_velocity=args.new_velocity,
        **own,
    )
    session.start(plan, command(args))
    return 0


def _authority(text: str) -> tuple[str, ...]:
    """Read who may have commanded; raise `ConfigError` for a name that nobody has."""
    from arfm_ros.episodes.authorities import check_authorities

    names = tuple(name for name in text.split(",") if name)
    check_authorities(names, "--authority")
    return names


def _begun(given: Path | None) -> Path | None:
    """Find a run, a checkpoint or a bundle, which may also be a name in models/."""
    from arfm_ros.bringup import find_bundle

    return given if given is None or given.exists() else find_bundle(str(given))


def _check_eyes(args: argparse.Namespace) -> None:
    """Raise `ConfigError` where a policy that sees already is to be kept and there is none."""

    for flag in ("new_velocity", "freeze_vision", "distil"):
        eyes = args.init or args.resume or (args.warm_start and flag == "freeze_vision")
        if getattr(args, flag) and not eyes:
            name = flag.replace("_", "-")
            raise ConfigError(f"--{name} without --init: needs a policy that is trained")
    if args.warm_start and args.init:
        raise ConfigError("--warm-start with --init: one beginning only")


def new_policy(args: argparse.Namespace) -> dict[str, Any]:
    """Collect what describes a policy that has none before it."""
    from arfm_ros.learn.model.network import ModelConfig

    own = ("camera", "dt", "urdf", "statistics", "actions", "state")
    names = [name for name in own if getattr(args, name) is not None]
    names += ["no-images"] if args.no_images else []
    if args.objects and not args.no_images:
        raise ConfigError("--objects without --no-images: a policy with cameras sees them there")
    if names and args.init:
        raise ConfigError(f"--{names[0]} with --init: the policy in {args.init} has its own")
    given: dict[str, Any] = {"urdf": args.urdf}
    if args.state:
        given["state"] = tuple(filter(None, args.state.split(",")))
    if args.statistics:
        given["statistics"] = tuple(args.statistics)
    if args.no_images:
        from arfm_ros.study.blind import BLIND

        objects = tuple(name for name in args.objects.split(",") if name) or BLIND.objects
        given["model"] = replace(BLIND, objects=objects)
    elif args.camera:
        given["model"] = ModelConfig(cameras=tuple(map(camera, args.camera)))
    if args.dt is not None:
        if not args.dt > 0:
            raise ConfigError(f"--dt {args.dt:g}: needs seconds, more than 0")
        given["dt_ns"] = round(args.dt * 1e9)
    return given


def command(args: argparse.Namespace) -> str:
    """Rebuild the command without machine-specific paths, for the model card."""
    return rebuild("train", args, UNSET_IS_0, positional=("data",))


def train_config(args: argparse.Namespace) -> TrainConfig:
    """Make the configuration of a training run. Raises `ConfigError` for what does not fit."""
    from arfm_ros.learn.data.augment import AugmentConfig
    from arfm_ros.learn.loop.train import TrainConfig
    from arfm_ros.learn.objectives.flow_loss import FlowConfig
    from arfm_ros.learn.objectives.objective import make_objective

    options: dict[str, Any] = {
        name: getattr(args, name)
        for name in ("minutes", "steps", "batch", "seed", "learning_rate", "outlier")
    }
    own = ("threads", "device", "precision", "freeze_vision")
    options |= {name: getattr(args, name) for name in own}
    return TrainConfig(
        **options,
        flow=FlowConfig(
            draws=args.draws,
            delay_max=args.delay_max,
            delay_share=args.delay_share,
            delay_bias=args.delay_bias,
            delay_noise=args.delay_noise,
            delay_input=args.delay_input,
        ),
        augment=AugmentConfig(shift_px=args.shift, state_noise_rad=args.state_noise),
        objective=make_objective(args.objective or "fm", **objective_knobs(args)),
        signal=signal_config(args),
        drawn=args.drawn,
        distil=getattr(args, "distil", 0),
    )

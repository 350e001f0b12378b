"""`arfm train --policy LIBRARY:FOLDER`: fine-tune a checkpoint of another library."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from arfm_ros.cli.parts.objectives import objective_knobs, signal_config
from arfm_ros.core.errors import ConfigError

if TYPE_CHECKING:
    from arfm_ros.learn.loop.group import Group

LIBRARIES = ("lerobot", "transformers")
RATE = 2.5e-5  # of the learning rate where none is given
OWN_RATE = 8e-4  # of a policy of this project
# what a policy of this project has and one of another library does not
FOREIGN = ("init", "warm_start", "new_velocity", "freeze_vision", "distil", "no_images", "camera")
FOREIGN += ("state",)


def add_tuning(parser: argparse.ArgumentParser) -> None:
    """Declare what fine-tuning takes beside what every training does."""
    group = parser.add_argument_group("fine-tuning a checkpoint of LeRobot or transformers")
    group.add_argument(
        "--policy",
        default="",
        metavar="LIBRARY:FOLDER",
        help="lerobot: pi0, pi05, smolvla, act or a diffusion that looks at one observation; "
        "transformers: pi0",
    )
    group.add_argument(
        "--interface", type=Path, help="which cameras and joints are its (docs/vla.md)"
    )
    group.add_argument(
        "--tune",
        choices=("whole", "expert", "lora"),
        default="whole",
        help="what learns: all, all but what sees and reads, or a LoRA (default: whole)",
    )
    group.add_argument("--rank", type=int, default=16, help="of a LoRA (16)")
    group.add_argument(
        "--piece",
        type=int,
        default=0,
        help="samples of a batch in memory at once; weights are those of the whole batch",
    )
    group.add_argument(
        "--save-every", type=int, default=1000, help="steps between checkpoints (1000)"
    )
    group.add_argument(
        "--checkpointing", action="store_true", help="compute activations again, not keep them"
    )


def run_tuning(args: argparse.Namespace) -> int:
    """Fine-tune; leave OUT/checkpoints/last/pretrained_model, which its library reads too."""
    from arfm_ros.learn.loop.group import join_group

    _check(args)
    group = join_group()
    try:
        last = _tune(args, group)
    except ConfigError:
        if group.local_rank == 0:
            raise
        return 1  # the first process of this machine says why
    finally:
        group.leave()
    if group.leads:
        source = f"{library_of(args.policy)}:{last}"
        print(f"{last}; next: arfm export {source} --interface {args.interface} --out BUNDLE")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raise `ConfigError` for options that do not go together."""
    if library_of(args.policy) not in LIBRARIES:
        known = " or ".join(f"{library}:FOLDER" for library in LIBRARIES)
        raise ConfigError(f"--policy {args.policy}: give {known}")
    if args.interface is None:
        raise ConfigError("a library's checkpoint knows no joint names: give --interface FILE")
    foreign = [name for name in FOREIGN if getattr(args, name)]
    if foreign or not args.steps:
        what = f"--{foreign[0].replace('_', '-')}" if foreign else "--minutes"
        need = "is for policies of this project" if foreign else "give --steps"
        raise ConfigError(f"{what} with --policy: {need}")


def library_of(source: str) -> str:
    """Return what stands before the colon of LIBRARY:FOLDER."""
    return source.partition(":")[0]


def _tune(args: argparse.Namespace, group: Group) -> Path:
    from arfm_ros.datasets.training import as_episodes
    from arfm_ros.export.vla.interface import read_interface
    from arfm_ros.learn.objectives.objective import make_objective
    from arfm_ros.learn.tuning.policy import Adapter
    from arfm_ros.learn.tuning.tune import Job, tune
    from arfm_ros.learn.tuning.tuner import TuneConfig

    args.out.mkdir(parents=True, exist_ok=True)
    config = TuneConfig(
        steps=args.steps,
        batch=args.batch,
        piece=args.piece,
        seed=args.seed,
        learning_rate=RATE if args.learning_rate == OWN_RATE else args.learning_rate,
        part=args.tune,
        adapter=Adapter(args.rank, 2.0 * args.rank, args.seed),
        checkpointing=args.checkpointing,
        save_every=args.save_every,
        device=args.device,
        precision=args.precision,
        objective=make_objective(args.objective or "fm", **objective_knobs(args)),
        signal=signal_config(args),
        drawn=args.drawn,
    )
    robot = read_interface(args.interface)
    library, _, folder = args.policy.partition(":")
    if group.leads:  # converts what is no folder of episodes; the others find it done
        as_episodes(args.data, args.out / "episodes")
    group.wait()
    data = as_episodes(args.data, args.out / "episodes")
    job = Job(library, Path(folder), data, args.out, robot, args.resume)
    return tune(job, config, group=group)

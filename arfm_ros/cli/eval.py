"""`arfm eval`: success in the simulator, closed loop, with intervals and paired comparisons."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arfm_ros.core.errors import ConfigError

if TYPE_CHECKING:
    from arfm_ros.evaluate.sweep import Plan

HELP = "measure a bundle's success in the headless simulator"
EXTRAS = ("sim", "show")
ALL = "all"
PICTURES = (".png", ".svg", ".pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument("bundle", help="folder of the bundle, or the name of one in models/")
    parser.add_argument("--against", help="another bundle, on the same starts")
    parser.add_argument("--task", action="append", help="repeatable; default: the bundle's tasks")
    parser.add_argument(
        "--robot", default="", help="robot, a name or a YAML (default: by the bundle's actions)"
    )
    parser.add_argument("--episodes", type=int, default=100, help="episodes per task")
    parser.add_argument("--seed", type=int, default=1_000_000, help="seed of the first episode")
    parser.add_argument(
        "--delay-ms", type=numbers, default=(50,), help="observation to chunk; a list: 0,50,100"
    )
    parser.add_argument("--period-ms", type=int, default=100, help="between two inferences")
    parser.add_argument(
        "--steps",
        type=counts,
        default=(None,),
        help="evaluations of the network for a chunk (default: the bundle's), with a solver "
        "before it (euler, ab2, midpoint, heun); a list compares them: 10,5,ab2:5",
    )
    _add_joining(parser)
    _add_views(parser)
    parser.add_argument(
        "--human",
        default="",
        choices=("", "scripted"),
        help="who watches and corrects: scripted, an expert with reaction time and noise",
    )
    _add_worlds(parser)
    parser.add_argument(
        "--precision", default="", help="of what `arfm export BUNDLE --precision` built (fp32)"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--json", type=Path, default=None, help="write the results here")
    parser.add_argument(
        "--out", type=Path, help="keep finished episodes here, so that the next call goes on"
    )
    parser.add_argument("--plot", type=Path, help="draw success over delay, a .png or .svg")


def _add_joining(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rtc",
        type=words,
        default=("bundle",),
        help="how chunks follow on: bundle (as exported), none, prefix, guided, or "
        "guided:GUIDANCE:SCHEDULE (exact, mixed, identity; exp, linear, ones, zeros); or a list",
    )
    parser.add_argument(
        "--context-ms",
        type=int,
        default=0,
        help="as with fast_slow: the state is fresh, pictures are of contexts that take so long",
    )


def _add_views(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reuse-views",
        type=float,
        default=0.0,
        metavar="GREY",
        help="as the node's reuse_views: a camera whose picture changed by no more, mean over its "
        "pixels, shows the one before (default: 0, never)",
    )


def _add_worlds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--action-noise",
        type=float,
        default=0.0,
        metavar="X",
        help="standard deviation on executed actions, in what one control step moves",
    )
    parser.add_argument(
        "--perturb",
        type=words,
        default=(),
        metavar="KIND:AMOUNT",
        help="also in changed worlds, on the same starts: light:0.6,scene_m:0.15 (a list), or "
        "'all'; any other word lists the kinds",
    )
    parser.add_argument(
        "--told",
        type=words,
        default=(),
        metavar="TASK",
        help="also told another task's words, on the same starts (a list), or 'all': is a task "
        "done all the same?",
    )
    parser.add_argument(
        "--card",
        action="store_true",
        help="keep what --perturb and --told found in the bundle's model card",
    )
    parser.add_argument(
        "--env",
        default="",
        metavar="NAME[:TASK]",
        help="act in an environment, action by action, without delay and arbiter: tabletop, "
        "metaworld:mt10, metaworld:push-v3 (tasks of a suite that the bundle knows)",
    )


def numbers(text: str) -> tuple[int, ...]:
    """Read `0,50,100`; none may be negative, each counts once."""
    values = tuple(dict.fromkeys(int(word) for word in text.split(",")))
    if min(values) < 0:
        raise argparse.ArgumentTypeError(f"{text}: needs milliseconds, 0 or more")
    return values


def counts(text: str) -> tuple[Any, ...]:
    """Read `10,5,ab2:5` as `Steps`; each is 1 or more and counts once."""
    from arfm_ros.evaluate.sweep import Steps

    found = []
    for word in text.split(","):
        solver, _, count = word.rpartition(":")
        if not count.isdecimal() or int(count) < 1:
            raise argparse.ArgumentTypeError(f"{text}: needs counts of steps, 1 or more: 10,ab2:5")
        found.append(Steps(int(count), solver))
    return tuple(dict.fromkeys(found))


def words(text: str) -> tuple[str, ...]:
    """Read `none,guided`; each counts once."""
    return tuple(dict.fromkeys(text.split(",")))


def check_outputs(report: Path | None, plot: Path | None) -> None:
    """Raise `ConfigError`, before hours of episodes, for a file that cannot be written."""
    for path in (report, plot):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"cannot write {path}: there is no folder {path.parent}")
    if plot is not None and plot.suffix not in PICTURES:
        raise ConfigError(f"cannot draw '{plot.name}': needs a name in {', '.join(PICTURES)}")


def run(args: argparse.Namespace) -> int:
    """Evaluate, print tables, write JSON, card and plot as asked."""
    from arfm_ros.cli.parts.tables import show_comparisons, show_success
    from arfm_ros.cli.parts.words import rebuild
    from arfm_ros.evaluate.sweep import pairs, report, run_sweep
    from arfm_ros.evaluate.sweep_plot import draw

    if args.env:
        return _in_environment(args)
    if args.card and not (args.perturb or args.told):
        raise ConfigError("--card keeps what --perturb or --told finds: give one of them too")
    plan = _plan(args)
    check_outputs(args.json, args.plot)
    outcomes = run_sweep(plan)
    show_success(outcomes)
    show_comparisons(pairs(outcomes))
    if args.json:
        args.json.write_text(json.dumps(report(plan, outcomes), indent=1))
    if args.card:
        from arfm_ros.export.card import keep_changed

        keep_changed(
            plan.bundles[0], report(plan, outcomes), rebuild("eval", args, positional=("bundle",))
        )
    if args.plot:
        draw(outcomes, args.plot)
    return 0


def _plan(args: argparse.Namespace) -> Plan:
    """Say which combinations are evaluated."""
    from arfm_ros.bringup import find_bundle
    from arfm_ros.engines import load_bundle
    from arfm_ros.evaluate.sweep import TOLD, Plan
    from arfm_ros.sim.drive.driver import DriverConfig
    from arfm_ros.sim.perturb import STANDARD

    bundles = tuple(dict.fromkeys(find_bundle(b) for b in (args.bundle, args.against) if b))
    taught = tuple(load_bundle(bundles[0]).spec.instructions)
    told = [f"{TOLD}{task}" for task in (taught if args.told == (ALL,) else args.told)]
    return Plan(
        bundles=bundles,
        tasks=tuple(args.task or taught),
        modes=args.rtc,
        delays_ms=args.delay_ms,
        seeds=range(args.seed, args.seed + args.episodes),
        config=DriverConfig(
            period_ms=args.period_ms,
            action_noise=args.action_noise,
            robot=args.robot,
            precision=args.precision,
            human=args.human,
            context_ms=args.context_ms,
            reuse_views=args.reuse_views,
        ),
        workers=args.workers,
        out=args.out,
        steps=args.steps,
        changes=("", *(STANDARD if args.perturb == (ALL,) else args.perturb), *told),
    )


def _in_environment(args: argparse.Namespace) -> int:
    """Run the policy alone, without the robot's stack."""
    from dataclasses import asdict

    from arfm_ros.bringup import find_bundle
    from arfm_ros.cli.parts.tables import show_environment
    from arfm_ros.engines import load_bundle
    from arfm_ros.evaluate.envs.catalogue import episodes, find_venue

    bundle = find_bundle(args.bundle)
    named = args.task or (() if ":" in args.env else tuple(load_bundle(bundle).spec.instructions))
    venue = find_venue(args.env, named)
    seeds = range(args.seed, args.seed + args.episodes)
    check_outputs(args.json, None)
    period_ns = args.period_ms * 1_000_000
    results = list(episodes(bundle, venue, seeds, period_ns, args.workers))
    show_environment(f"{bundle.name} in {args.env}", results)
    if args.json:
        rows = [asdict(one) for one in results]
        args.json.write_text(json.dumps({"environment": args.env, "episodes": rows}, indent=1))
    return 0

"""`arfm improve`: one round of record, post-train, export, check, evaluate, activate."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from arfm_ros.cli.parts.interventions import add_interventions, interventions_of
from arfm_ros.cli.parts.words import rebuild
from arfm_ros.cli.train import UNSET_IS_0, add_training, train_config

HELP = "let a policy drive, post-train it on that, keep the new one if it is not worse"
EXTRAS = ("sim", "train")
LEARNING_RATE = 1e-4  # the policy has learned already


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    add = parser.add_argument
    add("bundle", help="folder, or name in models/, of the bundle to improve; it stays as it is")
    add("--out", type=Path, required=True, help="run folder; the same command goes on there")
    add("--task", action="append", help="repeatable; default: the bundle's tasks")
    add("--episodes", type=int, default=50, help="to collect per task (default: 50)")
    add("--from-episodes", type=Path, help="instead: episodes recorded on a running robot")
    add("--data", action="append", type=Path, help="older episodes to train on too (repeatable)")
    add("--eval-episodes", type=int, default=100, help="per task and policy (default: 100)")
    add("--workers", type=int, default=2, help="processes that simulate")
    add("--activate", type=Path, metavar="LINK", help="link to move to the new bundle")
    add("--json", type=Path, help="write the result of every step here")
    add_interventions(
        parser,
        "a scripted person corrects the policy while it is collected; learn from that (HG-DAgger)",
    )
    add_training(parser)
    parser.set_defaults(objective="arfm", learning_rate=LEARNING_RATE)


def run(args: argparse.Namespace) -> int:
    """Do what is left of the round, print who won."""
    from arfm_ros.bringup import find_bundle
    from arfm_ros.engines import load_bundle
    from arfm_ros.improve.plan import ACTIVE, Plan
    from arfm_ros.improve.run import improve

    bundle = find_bundle(args.bundle)  # where a link points now: it may be moved in the end
    plan = Plan(
        bundle=bundle,
        out=args.out,
        tasks=tuple(args.task or load_bundle(bundle).spec.instructions),
        train=train_config(args),
        episodes=args.episodes,
        recorded=args.from_episodes,
        data=tuple(args.data or ()),
        eval_episodes=args.eval_episodes,
        workers=args.workers,
        interventions=interventions_of(args),
        activate=args.activate,
        command=rebuild("improve", args, UNSET_IS_0, positional=("bundle",)),
    )
    results = improve(plan)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    print("\n".join(verdict(results["decide"], results.get("oversee"))))
    print(f"active: {(args.out / ACTIVE).resolve()}")
    return 0


def verdict(decided: dict[str, Any], seen: dict[str, Any] | None = None) -> list[str]:
    """Say per task how old and new did on the same starts, and what follows.

    `seen`: how often a person took over, where one watched.
    """
    from arfm_ros.improve.verdict import Relief

    lines = []
    for task, row in decided.get("tasks", {}).items():
        low, high = (f"{100 * end:+.1f}" for end in row["score_interval"])
        lines.append(
            f"{task}: old {100 * row['rate_a']:.1f} %, new {100 * row['rate_b']:.1f} % of "
            f"{row['n']}; difference {100 * row['difference']:+.1f} [{low}, {high}] points, "
            f"McNemar p {row['p']:.3g}"
        )
    if seen:
        lines.append(str(Relief(**seen["relief"])))
    did = "activated the new bundle" if decided["activated"] else "kept the old bundle"
    return [*lines, f"{did}: {decided['reason']}"]

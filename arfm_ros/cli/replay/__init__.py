"""`arfm replay`: a recorded episode again."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arfm_ros.episodes.reader import EpisodeReader

HELP = "recompute an episode's chunks, ask another policy, move the simulated robot, publish it"
EXTRAS = ("show", "sim")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("episode", type=Path, help="folder, or a folder of episodes: the newest")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--sim", action="store_true", help="send its commands to the simulation")
    ways.add_argument("--against", metavar="BUNDLE", help="what would this policy have wanted")
    ways.add_argument("--ros", action="store_true", help="publish its sensors, stamped now")
    parser.add_argument("--bundle", default="", help="that made the chunks (default: the shipped)")
    parser.add_argument("--engine", default="onnx")
    parser.add_argument("--threads", type=int, default=2, help="as the policy node had")
    parser.add_argument("--robot", default="fr3", help="of --sim")
    parser.add_argument("--out", type=Path, help="picture of --against")
    parser.add_argument("--speed", type=float, default=1.0, help="of --ros")


def run(args: argparse.Namespace) -> int:
    """Do one of the four; 1 where chunks are others than recorded."""
    from arfm_ros.episodes.folders import newest_episode
    from arfm_ros.episodes.reader import EpisodeReader

    reader = EpisodeReader(newest_episode(args.episode))
    if args.sim:
        return _sim(reader, args)
    if args.against:
        return _against(reader, args)
    if args.ros:
        from arfm_ros.nodes.replay import publish

        return publish(reader, args.speed)
    return _recompute(reader, args)


def _recompute(reader: EpisodeReader, args: argparse.Namespace) -> int:
    from arfm_ros.bringup import find_bundle
    from arfm_ros.engines import load_bundle, load_policy
    from arfm_ros.replay.recompute import EARLIER, EXACT, recompute

    folder = find_bundle(args.bundle)
    bundle = load_bundle(folder)
    policy = load_policy(folder, engine=args.engine, threads=args.threads)
    counts: Counter[str] = Counter()
    shown = set()
    engine = policy.runtime.describe()
    for one in recompute(reader, policy, bundle.spec, bundle.sha256, engine):
        counts[one.outcome] += 1
        if one.outcome != EXACT and one.outcome not in shown:
            shown.add(one.outcome)
            print(
                f"first {one.outcome}: chunk {one.made.number} at {one.made.stamp_ns}: {one.why}"
            )
    total = sum(counts.values())
    print(f"{reader.folder.name}: {counts[EXACT]} of {total} chunks bit-exact on {engine}")
    for outcome, count in counts.items():
        if outcome != EXACT:
            print(f"  {outcome}: {count}")
    return int(counts[EXACT] == 0 or counts[EXACT] + counts[EARLIER] != total)


def _against(reader: EpisodeReader, args: argparse.Namespace) -> int:
    from arfm_ros.bringup import find_bundle
    from arfm_ros.engines import load_bundle, load_policy
    from arfm_ros.replay.counterfactual import ask, plot

    folder = find_bundle(args.against)
    bundle = load_bundle(folder)
    other = ask(reader, load_policy(folder, engine=args.engine, threads=args.threads), bundle.spec)
    out = args.out or Path(f"{reader.folder.name}_against_{bundle.name}.png")
    plot(reader, other, f"{reader.folder.name} against {bundle.name}", out)
    for name, apart in other.apart.items():
        print(f"  {name:<24} mean distance to what was done {apart:.4f}")
    print(f"{len(other.chunks)} chunks, {other.skipped} observations not recorded; picture: {out}")
    return 0


def _sim(reader: EpisodeReader, args: argparse.Namespace) -> int:
    from arfm_ros.replay.moved import move
    from arfm_ros.robots.files.load import load_robot
    from arfm_ros.sim.world import World

    moved = move(reader, World(load_robot(args.robot)))
    for name, apart in moved.apart.items():
        print(f"  {name:<24} largest distance to the recording {apart:.4f}")
    print(f"{moved.time_s[-1]:.1f} s moved in the simulation")
    return 0

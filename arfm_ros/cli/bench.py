"""Measure a bundle, the stack, a tick, a device, the recorder, training, joins, a fleet, a GPU."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from arfm_ros.cli.parts import bench_bundle, bench_gpu
from arfm_ros.core.errors import ConfigError

HELP = "measure: BUNDLE, stack, tick, teleop, record, discovery, seams, train, fleet, gpu"
EXTRAS = ("ros", "sim")  # and "train" for that, "engine" for a bundle, see ./arfm
GHOST_TARGET_S = 3.0  # a controller ignores a restarted arbiter for so long
SECONDS = 60.0
EXPERTS = {"lift": 6, "place": 6}  # episodes to train on where none are given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `arfm bench`."""
    parser.add_argument(
        "what",
        metavar="WHAT",
        help="stack, tick, teleop, record, discovery, seams, train, fleet, gpu, or a bundle "
        "(folder or name)",
    )
    parser.add_argument(
        "data", nargs="*", type=Path, help="train: folders with episodes (default: it makes some)"
    )
    parser.add_argument(
        "--seconds", type=float, help="how long, but for the stack (60; gpu: 480 for all)"
    )
    parser.add_argument("--batch", type=int, default=128, help="train: observations a step")
    parser.add_argument("--episodes", type=int, default=20, help="per task (default: 20)")
    parser.add_argument("--policy", default="", metavar="BUNDLE", help="bundle to measure with")
    parser.add_argument(
        "--seed",
        type=int,
        default=1_000_000,
        help="of the first episode (default: not trained on)",
    )
    parser.add_argument("--events", type=int, default=50, help="teleop: of each device (50)")
    parser.add_argument("--out", default="episodes", metavar="DIR", help="where the bags go")
    parser.add_argument("--json", default="", metavar="FILE", help="write the measurements there")
    parser.add_argument(
        "--source",
        type=Path,
        metavar="EPISODE",
        help="stack: pictures of this episode and an arm that follows, instead of the simulator",
    )
    _add_parts(parser)


def _add_parts(parser: argparse.ArgumentParser) -> None:
    record = parser.add_argument_group("record: 1 kHz joint states and two cameras at 30 Hz")
    record.add_argument("--raw", action="store_true", help="raw VGA pictures, 55 MB/s, no JPEG")
    record.add_argument("--kills", type=int, default=0, metavar="N", help="then kill N recorders")
    parser.add_argument(
        "--robots", type=int, nargs="+", default=[1, 4, 16], help="fleet: of each size (1 4 16)"
    )
    bench_bundle.add_arguments(parser)
    bench_gpu.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure; 1 when a target was missed or a run broke."""
    if args.what == "gpu":
        return bench_gpu.run(args)
    args.seconds = SECONDS if args.seconds is None else args.seconds
    known = {"train": _train, "stack": _stack, "discovery": _discovery, "seams": _seams}
    known |= {"tick": _tick, "teleop": _teleop, "record": _record, "fleet": _fleet}
    return known.get(args.what, bench_bundle.run)(args)


def _train(args: argparse.Namespace) -> int:
    """Take training steps of plain flow matching and ARFM in turn."""
    from arfm_ros.bench.step_costs import BUSY_TARGET, RATIO_TARGET, measure_steps
    from arfm_ros.learn.loop.begin import Plan
    from arfm_ros.learn.loop.train import TrainConfig
    from arfm_ros.up.targets import at_least, at_most, show_lines
    from arfm_ros.up.watch.report import save

    if not args.seconds > 0:
        raise ConfigError(f"--seconds {args.seconds:g}: needs more than 0")
    with tempfile.TemporaryDirectory() as folder:
        data = tuple(args.data) or _demonstrations(Path(folder) / "episodes")
        train = TrainConfig(steps=1, batch=args.batch)
        costs = measure_steps(Plan(data, Path(folder), train), args.seconds)
    (low, high), (least, most) = costs.interval, costs.processor_interval
    print(
        f"{costs.pairs} pairs of steps of {costs.batch} observations, {costs.weights / 1e6:.2f} M "
        f"weights, {costs.device}, {costs.precision}, {costs.threads} threads\n"
        f"a step of plain flow matching {costs.plain_ms:.1f} ms ({costs.samples_s:.0f} "
        f"samples/s), of ARFM {costs.arfm_ms:.1f} ms\n"
        f"ratio {costs.ratio:.4f}, 95 % interval {low:.4f} to {high:.4f} (medians, bootstrap); of "
        f"processor time {costs.processor_ratio:.4f}, {least:.4f} to {most:.4f}"
    )
    lines = [
        at_most("step of ARFM / plain flow matching", costs.ratio, RATIO_TARGET),
        at_least("time not waiting for data", 1 - costs.waiting, BUSY_TARGET),
    ]
    show_lines(lines, "what the training must reach")
    if args.json:
        save(Path(args.json), costs.as_json() | {"targets": [line.as_dict() for line in lines]})
    return int(not costs.met)


def _demonstrations(out: Path) -> tuple[Path, ...]:
    """Have the scripted experts show something, failures among it."""
    from arfm_ros.sim.expert.quality import quality
    from arfm_ros.sim.record.batch import Batch, record_batch
    from arfm_ros.sim.record.demos import DemoOptions

    for task, count in EXPERTS.items():
        batch = Batch((task,), count, 0, out, "demo_{task}")
        record_batch(batch, DemoOptions(quality=quality("poor")), workers=2)
    return (out,)


def _stack(args: argparse.Namespace) -> int:
    """Run lift and reach headless, or the robot side beside recorded pictures."""
    from arfm_ros.cli.parts import bench_stack

    return bench_stack.beside_pictures(args) if args.source else bench_stack.whole(args)


def _discovery(args: argparse.Namespace) -> int:
    """Look for living processes that are taken for dead while every core computes."""
    from arfm_ros.bringup import Setup
    from arfm_ros.up.discovery import busy_loops, measure
    from arfm_ros.up.stack.run import own_domain
    from arfm_ros.up.targets import at_most, show_lines
    from arfm_ros.up.watch.report import save

    with own_domain(Setup(sim=True)):
        costs = measure(args.seconds, busy_loops())
    print(
        f"{costs.peers} processes beside {costs.busy_loops} busy loops for {costs.seconds:g} s; "
        f"all had found each other after {costs.found_s:.1f} s"
    )
    lines = [
        at_most("living processes taken for dead", costs.false_losses, 0),
        at_most("a killed process still counts", costs.ghost_s, GHOST_TARGET_S, "s"),
    ]
    show_lines(lines, "what discovery must reach")
    if args.json:
        save(Path(args.json), costs.as_json() | {"targets": [line.as_dict() for line in lines]})
    return int(not all(line.met for line in lines))


def _seams(args: argparse.Namespace) -> int:
    """Send one stream of chunks to a joint_trajectory_controller in several ways."""
    from arfm_ros.bench import seams
    from arfm_ros.bench.table import show_seams
    from arfm_ros.up.watch.report import save

    if not args.seconds >= seams.SECONDS_MIN:
        raise ConfigError(f"--seconds {args.seconds:g}: needs at least {seams.SECONDS_MIN:g}")
    rows = {name: seams.measure(name, args.seconds, args.seed) for name in seams.ENCODINGS}
    show_seams(rows, args.seconds, args.seed)
    if args.json:
        save(Path(args.json), seams.as_json(rows, args.seconds, args.seed))
    return int(not seams.met(rows))


def _tick(args: argparse.Namespace) -> int:
    """Time the arbiter's tick for one arm and for two."""
    from arfm_ros.bench import tick
    from arfm_ros.up.targets import at_most, show_lines
    from arfm_ros.up.watch.report import save

    if not args.seconds >= tick.SECONDS_MIN:
        raise ConfigError(f"--seconds {args.seconds:g}: needs at least {tick.SECONDS_MIN:g}")
    rows, lines = {}, []
    for axes, target_us in tick.TARGETS_US.items():
        row = tick.measure(axes // tick.ARM.size, args.seconds, args.seed)
        rows[str(axes)] = row.as_json()
        print(
            f"{axes} axes, {row.count} ticks: p50 {row.p50_us:.0f}, p99 {row.p99_us:.0f}, p99.9 "
            f"{row.p999_us:.0f}, largest {row.max_us:.0f} us; taking a chunk over "
            f"{row.chunk_p50_us:.0f} us (p50), looking ahead {row.look_p99_us:.0f} us (p99)"
        )
        lines.append(at_most(f"a tick of {axes} axes, p99", row.p99_us, target_us, "us"))
    show_lines(lines, "what a tick must reach")
    if args.json:
        save(Path(args.json), {"ticks": rows, "targets": [line.as_dict() for line in lines]})
    return int(not all(line.met for line in lines))


def _record(args: argparse.Namespace) -> int:
    """Record numbered messages, count what is lost, kill recorders."""
    from arfm_ros.bringup import Setup
    from arfm_ros.cli.parts.record_table import show_record
    from arfm_ros.up.record.kills import kills
    from arfm_ros.up.record.measure import Load, measure
    from arfm_ros.up.stack.run import own_domain
    from arfm_ros.up.watch.report import save

    if not args.seconds > 0:
        raise ConfigError(f"--seconds {args.seconds:g}: needs more than 0")
    load = Load(args.seconds, kind="raw" if args.raw else "compressed")
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    with own_domain(Setup(sim=True)), tempfile.TemporaryDirectory(dir=out) as folder:
        costs = measure(load, Path(folder))
        ended = kills(args.kills, load, Path(folder), args.seed)
    lines = show_record(costs, ended)
    if args.json:
        done = [one.as_json() for one in ended]
        targets = [line.as_dict() for line in lines]
        save(Path(args.json), {"episode": costs.as_json(), "kills": done, "targets": targets})
    return int(not all(line.met for line in lines))


def _fleet(args: argparse.Namespace) -> int:
    """Let fleets of robots take a bundle and back, and send episodes, with an S3 server here."""
    from arfm_ros.bench.fleet import TARGET_S, Load, break_often, measure, s3_server, variant
    from arfm_ros.bringup import find_bundle
    from arfm_ros.up.targets import at_least, at_most, show_lines
    from arfm_ros.up.watch.report import save

    bundle, lines, rows = find_bundle(args.policy, "lift"), [], []
    for robots in args.robots:
        with tempfile.TemporaryDirectory() as name, s3_server(Path(name)) as address:
            both = (bundle, variant(bundle, Path(name)))
            row = measure(address, Path(name), robots, both, Load())
        rows.append(row.as_json())
        print(row, flush=True)
        lines.append(at_most(f"new bundle on {robots} robots", row.there_s, TARGET_S, "s"))
        lines.append(at_most(f"and back on {robots} robots", row.back_s, TARGET_S, "s"))
    if args.kills:
        with tempfile.TemporaryDirectory() as name, s3_server(Path(name)) as address:
            load = Load(episodes=4, megabytes=20.0)
            left = break_often(address, Path(name), args.kills, load, args.seed)
        print(left)
        lines.append(at_most("files left over by kills", left.left, 0))
        lines.append(at_least("episodes equal", left.equal * left.arrived, left.episodes))
    show_lines(lines, "what a fleet must reach")
    if args.json:
        save(Path(args.json), {"fleets": rows, "targets": [line.as_dict() for line in lines]})
    return int(not all(line.met for line in lines))


def _teleop(args: argparse.Namespace) -> int:
    """Time a gamepad and a keyboard from an event to the motion of the simulated arm."""
    from arfm_ros.bringup import Setup
    from arfm_ros.up.shared import bench
    from arfm_ros.up.stack.run import own_domain
    from arfm_ros.up.targets import show_lines
    from arfm_ros.up.watch.report import save

    if args.events < 1:
        raise ConfigError(f"--events {args.events}: needs at least 1")
    results = {}
    with own_domain(Setup(sim=True)), tempfile.TemporaryDirectory() as logs:
        for device in ("keyboard", "joy"):
            results[device] = bench.measure(device, args.events, Path(logs) / device)
    print(bench.describe(results))
    lines = bench.lines(results)
    show_lines(lines, "what a person's device must reach")
    if args.json:
        told = {device: one.as_json() for device, one in results.items()}
        save(Path(args.json), told | {"targets": [line.as_dict() for line in lines]})
    return int(not all(line.met for line in lines))

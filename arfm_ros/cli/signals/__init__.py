"""`arfm signals`: what tells good from poor in recorded episodes, and how well."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arfm_ros.core.errors import ConfigError

if TYPE_CHECKING:
    from arfm_ros.learn.data.frames import Frames
    from arfm_ros.learn.signals.report import Tells

SMALL = 32  # pixels of a picture that nobody looks at
HELP = "compute signals of recorded episodes, and what each can tell"
EXTRAS = ("train", "show")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("data", nargs="+", type=Path, help="folders with episodes")
    parser.add_argument(
        "--signal",
        action="append",
        metavar="NAME[:KNOB=VALUE,...]",
        help="success, time_to_success, progress, smoothness, advantage, near_advantage, "
        "chunk_td, human or preference (repeatable; default: all that need no policy)",
    )
    parser.add_argument(
        "--policy", default="", metavar="BUNDLE", help="whose context is looked at"
    )
    parser.add_argument("--good", type=Path, action="append", default=[], metavar="DIR",
                        help="episodes of these folders are known to be good")  # fmt: skip
    parser.add_argument("--poor", type=Path, action="append", default=[], metavar="DIR",
                        help="and of these to be poor: for the report only")  # fmt: skip
    parser.add_argument("--out", type=Path, help="write the side-car here, a .npz")
    parser.add_argument("--plot", type=Path, help="draw the signals over one episode")
    parser.add_argument(
        "--episode", default="", help="of --plot, by its name (default: the first)"
    )
    parser.add_argument("--json", type=Path, default=None, help="write the report here")


def run(args: argparse.Namespace) -> int:
    """Compute, report, write and draw as asked."""
    from arfm_ros.learn.signals import report
    from arfm_ros.learn.signals.source import parse_source, sources

    known = sources()
    chosen = args.signal or [name for name, one in known.items() if not one.needs_policy]
    made = [parse_source(text) for text in chosen]
    if any(one.needs_policy for one in made) and not args.policy:
        names = ", ".join(one.name for one in made if one.needs_policy)
        raise ConfigError(f"{names} looks at what a policy sees: give --policy BUNDLE")
    with tempfile.TemporaryDirectory() as cache:
        frames, features = _read(args, Path(cache))
        told = {one.name: one.tell(frames, features) for one in made}
        truth = _truth(frames, args.good, args.poor)
        rows = [report.tells(name, one, frames, truth) for name, one in told.items()]
        if args.out:
            report.save(args.out, frames, told)
        if args.plot:
            from arfm_ros.cli.signals.plot import draw

            draw(frames, told, args.episode, args.plot)
    _show(rows)
    if args.json:
        args.json.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n")
    return 0


def _read(args: argparse.Namespace, cache: Path) -> tuple[Frames, Any]:
    import numpy as np

    from arfm_ros.learn.data.frames import FramesConfig, load_frames
    from arfm_ros.learn.data.recorded import embodiment_of, look_at
    from arfm_ros.learn.loop.begin import frames_config
    from arfm_ros.robots.embodiment import Embodiment

    if not args.policy:
        recorded = look_at(args.data)
        first = recorded.cameras[:1] if recorded is not None else ()
        seen = tuple((name, SMALL, SMALL) for name in first)  # its frames are the observations
        config = FramesConfig(cameras=seen, robot=embodiment_of(recorded, {}))
        frames = load_frames(args.data, cache, config)
        return frames, np.zeros((len(frames), 0), np.float32)
    from arfm_ros.bringup import find_bundle
    from arfm_ros.learn.signals.context import features_of, read_policy

    policy = read_policy(find_bundle(args.policy))
    robot = Embodiment.of_policy(policy.spec, len(policy.config.objects))
    frames = load_frames(args.data, cache, frames_config(policy.config, robot, policy.spec.dt_ns))
    return frames, features_of(policy, frames)


def _truth(frames: Frames, good: Sequence[Path], poor: Sequence[Path]) -> Any:
    """Return what is known of each observation: by the folders named, else by the recordings."""
    import numpy as np

    from arfm_ros.learn.signals.report import recorded_truth

    if not good and not poor:
        return recorded_truth(frames)
    told = np.zeros(len(frames.folders), np.int8)
    for sign, roots in ((1, good), (-1, poor)):
        for n, folder in enumerate(frames.folders):
            if any(root.resolve() in Path(folder).resolve().parents for root in roots):
                told[n] = sign
    return told[frames.episode]


def _show(rows: Sequence[Tells]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="what a signal can tell", title_justify="left")
    for column in ("signal", "known", "AUC success", "AUC good", "within", "phases", "time left"):
        table.add_column(column)
    for row in rows:
        phases = " ".join(_text(one, "+.1f") for one in row.phases)
        table.add_row(row.name, f"{100 * row.known:.0f} %", _text(row.auc_success, ".3f"),
                      _text(row.auc_truth, ".3f"), _text(row.spread_within, ".2f"), phases,
                      _text(row.time_left, "+.2f"))  # fmt: skip
    console = Console()
    console.print(table)
    for row in rows:
        for note in row.notes:
            console.print(f"{row.name}: {note}")
    console.print("AUC: chance that good is above poor; within: spread inside episodes over all;")
    console.print("phases: mean of each quarter, in deviations; time left: rank correlation")


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)

"""`arfm study`: compare post-training objectives on many seeds."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from arfm_ros.cli.parts.words import rebuild

HELP = "compare post-training objectives in the simulator, with many training seeds"
EXTRAS = ("sim", "train", "show")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "name",
        help="mixed, paces, segments, stitch, halves, mt10, pixels, noise, few, continual or "
        "sweep",
    )
    parser.add_argument("--out", type=Path, required=True, help="goes on with what is there")
    parser.add_argument("--seeds", type=int, default=3, help="training seeds")
    parser.add_argument("--row", action="append", help="only this one (repeatable)")
    parser.add_argument(
        "--against", action="append", help="compare with this row (repeatable; default: its own)"
    )
    parser.add_argument("--episodes", type=int, default=100, help="measured, of each task")
    parser.add_argument("--start-steps", type=int, default=3000, help="of the common start")
    parser.add_argument("--steps", type=int, default=1500, help="of each training after it")
    parser.add_argument("--batch", type=int, default=128, help="observations a training step")
    parser.add_argument("--eyes", default="fr3_tabletop", help="pixels: bundle that sees already")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--report", type=Path, help="only write table and plot into this folder")


def run(args: argparse.Namespace) -> int:
    """Run the cells that are missing, then print the table."""
    from arfm_ros.bringup import find_bundle
    from arfm_ros.core.errors import ConfigError
    from arfm_ros.study.cells import cells_of, read_cells, run_cells
    from arfm_ros.study.experiments import Sizes, find_study
    from arfm_ros.study.lab import Lab
    from arfm_ros.study.report import report

    study = find_study(args.name)
    unknown = {*(args.row or ()), *(args.against or ())} - {row.name for row in study.rows}
    if unknown or args.seeds < 1 or args.workers < 1 or args.episodes < 1:
        known = ", ".join(row.name for row in study.rows)
        raise ConfigError(
            f"--row, --against {', '.join(sorted(unknown)) or 'of'} {args.name}: need {known}; "
            "--seeds, --workers and --episodes need to be at least 1"
        )
    if args.against:
        study = replace(study, against=tuple(args.against))
    eyes = find_bundle(args.eyes) if study.pixels else None
    sizes = Sizes(args.start_steps, args.steps, args.episodes, args.batch)
    lab = Lab(args.out, sizes, eyes, study.world)
    cells = list(cells_of(study, args.seeds, tuple(args.row or ())))
    if args.report is None:
        lab.open()
        run_cells(cells, lab, args.workers, rebuild("study", args, positional=("name",)), print)
    print(report(study, read_cells(cells, lab), args.report or args.out / "report"))
    return 0

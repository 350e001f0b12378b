"""`arfm show`: one picture of a recorded episode."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "draw a recorded episode: cameras, joints, chunks, authority, latencies"
EXTRAS = ("show",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument(
        "episode", type=Path, help="episode folder, or a folder of episodes (takes the newest)"
    )
    parser.add_argument(
        "--out", type=Path, help="picture to write, .png or .html (default: EPISODE's name.png)"
    )


def run(args: argparse.Namespace) -> int:
    """Draw the episode and print what is in it."""
    from arfm_ros.episodes.audit import audit
    from arfm_ros.episodes.folders import newest_episode
    from arfm_ros.episodes.show.picture import render

    folder = newest_episode(args.episode)
    out = render(folder, args.out or Path(f"{folder.name}.png"))
    report = audit(folder)
    print(f"{folder}  {report.duration_s:.1f} s  {dict(report.label)}")
    for name, topic in report.topics.items():
        late = f"  largest gap {1000 * topic.gap_max_s:.0f} ms" if topic.count > 1 else ""
        lost = f"  LOST {topic.lost}" if topic.lost else ""
        print(f"  {name:<50} {topic.count:>7}  {topic.rate_hz:>6.1f} Hz{late}{lost}")
    for note in report.damage:
        print(f"  damaged: {note}")
    print(f"picture: {out}")
    return 0

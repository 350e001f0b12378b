"""`arfm show`: a recorded episode as a picture, a page or a file of another viewer."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "draw recorded episodes: cameras, joints, chunks, who acted, events, latencies"
EXTRAS = ("show",)
PICTURE, PAGE = ".png", ".html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument(
        "episode", type=Path, help="episode folder, or a folder of episodes (takes the newest)"
    )
    parser.add_argument("--out", type=Path, help=".png, .html or .rrd (default: NAME.png)")
    parser.add_argument("--rerun", action="store_true", help="write a file of the Rerun viewer")
    parser.add_argument(
        "--all", action="store_true", help="a page of a folder's episodes, --out DIR: and of each"
    )


def run(args: argparse.Namespace) -> int:
    """Draw, and print what is in the episode."""
    return _folder(args) if args.all else _episode(args)


def _episode(args: argparse.Namespace) -> int:
    from arfm_ros.episodes.audit import audit
    from arfm_ros.episodes.folders import newest_episode

    folder = newest_episode(args.episode)
    out = args.out or Path(f"{folder.name}{'.rrd' if args.rerun else PICTURE}")
    _draw(folder, out)
    report = audit(folder)
    print(f"{folder}  {report.duration_s:.1f} s  {dict(report.label)}")
    for name, topic in report.topics.items():
        late = f"  largest gap {1000 * topic.gap_max_s:.0f} ms" if topic.count > 1 else ""
        lost = f"  LOST {topic.lost}" if topic.lost else ""
        print(f"  {name:<50} {topic.count:>7}  {topic.rate_hz:>6.1f} Hz{late}{lost}")
    for note in report.damage:
        print(f"  damaged: {note}")
    print(f"written: {out}")
    return 0


def _draw(folder: Path, out: Path) -> None:
    from arfm_ros.core.errors import EpisodeError

    if out.suffix == PICTURE:
        from arfm_ros.episodes.show.picture import draw
        from arfm_ros.episodes.show.story import read_story

        out.write_bytes(draw(read_story(folder)))
    elif out.suffix == PAGE:
        from arfm_ros.episodes.show.page import write_page

        write_page(folder, out)
    elif out.suffix == ".rrd":
        from arfm_ros.episodes.show.rerun import write_rerun

        write_rerun(folder, out)
    else:
        raise EpisodeError(f"cannot write '{out.name}': needs .png, .html or .rrd at its end")


def _folder(args: argparse.Namespace) -> int:
    """Write one page of all episodes; with a folder as --out one of each beside it."""
    from arfm_ros.core.errors import EpisodeError
    from arfm_ros.episodes.edit.listing import list_episodes
    from arfm_ros.episodes.show.folder import write_folder_page

    rows = list(list_episodes([args.episode]))
    if not rows:
        raise EpisodeError(f"no episode in {args.episode}")
    out: Path = args.out or Path("episodes.html")
    links = dict.fromkeys((row.folder for row in rows), "")
    if out.suffix != PAGE:
        out.mkdir(parents=True, exist_ok=True)
        for row in rows:
            if row.state not in {"broken", "unfinished"}:
                links[row.folder] = f"{row.folder.name}{PAGE}"
                _draw(row.folder, out / links[row.folder])
        out = out / "index.html"
    count = write_folder_page(((row, links[row.folder]) for row in rows), out)
    print(f"{count} episodes: {out}")
    return 0

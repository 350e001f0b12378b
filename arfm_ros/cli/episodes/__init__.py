"""`arfm episodes`: list, label, examine and mend what was recorded."""

from __future__ import annotations

import argparse
import getpass
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arfm_ros.cli import show
from arfm_ros.cli.episodes.convert import add_convert, run_convert
from arfm_ros.core.errors import ConfigError, EpisodeError

if TYPE_CHECKING:
    from arfm_ros.episodes.edit.listing import Row

HELP = "recorded episodes: ls, label, audit, stats, recover, split, merge, convert, fuzz"
EXTRAS = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `arfm episodes`."""
    words = parser.add_subparsers(dest="word", required=True, metavar="ls|label|audit|...")
    ls = words.add_parser("ls", help="one line for each episode")
    stats = words.add_parser("stats", help="count by task: episodes, successes, hours, size")
    audit = words.add_parser("audit", help="what is wrong with them for training, with the fix")
    recover = words.add_parser("recover", help="mend what a kill, a power cut or a full disk left")
    for word in (ls, stats, audit, recover):
        word.add_argument(
            "folders", nargs="*", type=Path, default=[Path("episodes")], metavar="DIR",
            help="episodes, or folders of them (default: ./episodes)",
        )  # fmt: skip
    for word in (ls, stats):
        _add_filters(word)
        word.add_argument("--json", action="store_true", help="one JSON object for each line")
    add_convert(words)
    label = words.add_parser("label", help="label finished episodes; what was said before is kept")
    label.add_argument("folders", nargs="+", metavar="EPISODE|KEY=VALUE", help="success=true")
    label.add_argument("--discard", action="store_true", help="keep it, but learn nothing from it")
    _add_parts(words)
    show.add_arguments(words.add_parser("show", help="draw them, as `arfm show` does"))
    fuzz = words.add_parser("fuzz", help="damage copies of an episode: are readers up to it")
    fuzz.add_argument("episode", type=Path, help="a whole episode, better a small one")
    fuzz.add_argument("--trials", type=int, default=1000)
    fuzz.add_argument("--seed", type=int, default=0)


def _add_parts(words: Any) -> None:
    cut = words.add_parser("split", help="cut an episode into several; it stays as it is")
    cut.add_argument("episode", type=Path)
    cut.add_argument(
        "--at", type=float, nargs="+", required=True, metavar="S", help="seconds from its begin"
    )
    cut.add_argument("--out", type=Path, metavar="DIR", help="where the parts go (beside it)")
    merge = words.add_parser("merge", help="make one of several; they stay as they are")
    merge.add_argument("folders", nargs="+", type=Path, metavar="EPISODE")
    merge.add_argument("--out", type=Path, required=True, metavar="EPISODE", help="the new one")


def _add_filters(word: argparse.ArgumentParser) -> None:
    word.add_argument("--task", help="only of this task")
    word.add_argument("--success", choices=("yes", "no", "unknown"), help="only with this label")
    word.add_argument("--operator", help="only recorded by them")
    word.add_argument("--bundle", metavar="HASH", help="only driven by it (its first digits)")
    word.add_argument("--state", help="saved, discarded, recovered, unfinished or broken")
    word.add_argument("--since", metavar="YYYYmmdd", help="only begun then or later")
    word.add_argument("--human", action="store_true", help="only where somebody took over")


def run(args: argparse.Namespace) -> int:
    """Do what the word says; 1 where something is wrong with an episode."""
    words = {"ls": _ls, "stats": _stats, "audit": _audit, "label": _label, "recover": _recover}
    words |= {"convert": run_convert, "split": _split, "merge": _merge, "show": show.run}
    return words.get(args.word, _fuzz)(args)


def _rows(args: argparse.Namespace) -> list[Row]:
    from arfm_ros.episodes.edit.listing import list_episodes

    known = {"yes": True, "no": False, "unknown": None}
    return [
        row
        for row in list_episodes(_existing(args.folders))
        if (not args.task or row.task == args.task)
        and (not args.success or row.success is known[args.success])
        and (not args.operator or row.operator == args.operator)
        and (not args.bundle or row.bundle.startswith(args.bundle))
        and (not args.state or row.state == args.state)
        and (not args.since or row.begin >= args.since)
        and (row.human or not args.human)
    ]


def _ls(args: argparse.Namespace) -> int:
    from arfm_ros.cli.episodes.tables import as_json, show_rows

    rows = _rows(args)
    if args.json:
        for row in rows:
            print(json.dumps(as_json(row)))
    else:
        show_rows(rows)
    return 0


def _stats(args: argparse.Namespace) -> int:
    from arfm_ros.cli.episodes.tables import show_stats, stats

    found = stats(_rows(args))
    if args.json:
        for task, row in found.items():
            print(json.dumps({"task": task, **row}))
    else:
        show_stats(found)
    return 0


def _audit(args: argparse.Namespace) -> int:
    from arfm_ros.episodes.edit.listing import list_episodes
    from arfm_ros.episodes.examine.between import compare
    from arfm_ros.episodes.examine.episode import Examined, examine

    known: list[Examined] = []
    refused = 0
    rows = list(list_episodes(_existing(args.folders)))
    if not rows:
        raise EpisodeError(f"no episode below {', '.join(map(str, args.folders))}")
    for row in rows:
        try:
            known.append(examine(row.folder))
        except EpisodeError as error:
            print(f"{row.folder}: REFUSED {error}")
            refused += 1
    beside = compare([one.traits for one in known])
    bad = 0
    for one in known:
        found = [*one.found, *beside.get(one.traits.folder, ())]
        bad += bool(found)
        verdict = "BAD" if found else "good"
        print(f"{one.traits.folder}: {one.report.duration_s:.1f} s, {verdict}")
        for finding in found:
            print(f"  {finding.what}\n    -> {finding.fix}")
    return int(bad + refused > 0)


def _label(args: argparse.Namespace) -> int:
    from arfm_ros.episodes.edit.relabel import relabel
    from arfm_ros.episodes.labels import DISCARDED_KEY

    given = [word for word in args.folders if "=" in word and not Path(word).exists()]
    label = dict(_pair(word) for word in given) | ({DISCARDED_KEY: True} if args.discard else {})
    folders = [Path(word) for word in args.folders if word not in given]
    if not label or not folders:
        raise ConfigError("label needs an episode and what to say: EPISODE success=true")
    for folder in folders:
        if not any(folder.glob("*.mcap")):
            raise EpisodeError(f"{folder} holds no .mcap file: it is no episode")
        print(f"{folder}: {relabel(folder, label, getpass.getuser())}")
    return 0


def _pair(word: str) -> tuple[str, Any]:
    key, _, text = word.partition("=")
    try:
        return key, json.loads(text)
    except json.JSONDecodeError:
        return key, text


def _recover(args: argparse.Namespace) -> int:
    from arfm_ros.episodes.edit.recover import finish_interrupted, recover
    from arfm_ros.episodes.folders import unfinished_episodes

    failed, found = 0, []
    for folder in _existing(args.folders):
        if any(folder.glob("*.mcap")):
            found.append(folder)
        else:
            for done in finish_interrupted(folder):
                print(f"{done}: finished what a recovery had begun")
            found += unfinished_episodes(folder, deep=True)
    for folder in found:
        try:
            done = recover(folder)
        except EpisodeError as error:
            failed += 1
            print(f"{folder}: NOT recovered: {error}")
            continue
        print(f"{done.folder}: {done.messages} messages; the original is {done.original.name}")
        for line in done.lost:
            print(f"  lost: {line}")
    if not found:
        print("nothing to recover")
    return int(failed > 0)


def _split(args: argparse.Namespace) -> int:
    from arfm_ros.episodes.edit.parts import split

    for folder in split(_existing([args.episode])[0], args.at, args.out):
        print(folder)
    return 0


def _merge(args: argparse.Namespace) -> int:
    from arfm_ros.episodes.edit.parts import merge

    print(merge(_existing(args.folders), args.out))
    return 0


def _fuzz(args: argparse.Namespace) -> int:
    import tempfile

    from arfm_ros.episodes.edit.fuzz import fuzz

    _existing([args.episode])
    with tempfile.TemporaryDirectory() as scratch:
        happened, broken = fuzz(args.episode, Path(scratch), args.trials, args.seed)
    for what, count in sorted(happened.items()):
        print(f"{what:<24}{count:>7}")
    for one in broken:
        print(f"BROKEN PROMISE in trial {one.trial} ({one.kind}): {one.what}")
    print(f"{args.trials} trials, seed {args.seed}, {len(broken)} broken promises")
    return int(bool(broken))


def _existing(folders: Sequence[Path]) -> Sequence[Path]:
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise EpisodeError(f"no such folder: {', '.join(missing)}")
    return folders

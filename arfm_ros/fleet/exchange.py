"""One exchange with the store: a robot's, and the training machine's."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import (
    ArfmError,
    ConfigError,
    EpisodeError,
    FleetError,
    SpecError,
)
from arfm_ros.core.values.strict import table
from arfm_ros.episodes.write.durable import is_unfinished
from arfm_ros.fleet import labels
from arfm_ros.fleet.content import EPISODES, Item, episode_item, open_piece, read_item
from arfm_ros.fleet.fetch import fetch
from arfm_ros.fleet.place import Place
from arfm_ros.fleet.robot import Robot, adopt
from arfm_ros.fleet.send import ITEMS, note, send, sent

ROBOTS, LOCK = "robots", ".sync.lock"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SHORT = 16  # digits of a hash in the name of a folder on the training machine
BYTES_MAX = 1 << 20
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What one exchange did; `failed` tells in words what will be tried again."""

    sent: int = 0  # episodes
    bytes: int = 0
    there: int = 0  # were there already
    labels: int = 0  # lines, in both directions
    failed: tuple[str, ...] = ()


def check_name(name: str) -> str:
    """Return a robot's name. Raises `ConfigError` for one that is no name of a folder."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"robot '{name[:80]}', needs letters, digits, '.', '_' and '-' only")
    return name


def finished(folder: Path) -> list[Path]:
    """List the episodes in a folder that are finished, discarded ones too."""
    found = {bag.parent for bag in folder.rglob("*.mcap")}
    return sorted(path for path in found if not is_unfinished(path))


def give(place: Place, robot: Robot, say: Say) -> Exchanged:
    """Send every finished episode that is not there, and what was said about them since.

    Raises `FleetError` where the place fails; an episode that cannot be sent is told in `failed`.
    """
    there, done, failed = sent(place, robot.name), list[Item](), list[str]()
    folders: dict[str, Path] = {}
    for folder in finished(robot.episodes):
        try:
            item = episode_item(folder)
            if item.sha256 not in there and item.sha256 not in folders:
                send(place, item, partial(open_piece, folder), robot.name)
                note(place, item, robot.name)
                done.append(item)
                say(f"sent {folder.name} ({item.bytes / 1e6:.1f} MB)")
            folders[item.sha256] = folder
        except EpisodeError as error:
            failed.append(f"{folder.name}: {error}")
    lines = labels.exchange(place, robot.name, folders)
    size = sum(item.bytes for item in done)
    return Exchanged(len(done), size, len(folders) - len(done), sum(lines), tuple(failed))


def report(place: Place, robot: Robot, problem: str) -> None:
    """Tell whoever looks at the store how this robot is."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    row = asdict(robot.state()) | {"robot": robot.name, "when": now, "problem": problem}
    place.write(f"{ROBOTS}/{robot.name}.json", json.dumps(row).encode())


def visit(place: Place, robot: Robot, say: Say) -> Exchanged:
    """Do a robot's whole exchange: episodes and labels there, the newest bundle here.

    The bundle comes first: it is small, and episodes may take long. What fails on the way of one
    does not keep the other from going.
    """
    robot.home.mkdir(parents=True, exist_ok=True)
    done, problems = Exchanged(), list[str]()
    with alone(robot.home):
        try:
            adopt(place, robot, say)
        except ArfmError as error:
            problems.append(str(error))
        try:
            done = give(place, robot, say)
        except FleetError as error:
            problems.append(str(error))
        problems += done.failed
        report(place, robot, "; ".join(problems)[:2000])
    return Exchanged(done.sent, done.bytes, done.there, done.labels, tuple(problems))


def collect(place: Place, out: Path, say: Say) -> Exchanged:
    """Fetch every episode of every robot that is not in `out`, and exchange labels.

    Folders are named after the episode and its hash. Raises `FleetError` where the place cannot
    be listed; an episode that cannot be taken is told in `failed`.
    """
    out.mkdir(parents=True, exist_ok=True)
    with alone(out):
        done, folders, failed = _take_all(place, out, say)
        lines = sum(sum(labels.exchange(place, *mine)) for mine in folders.items())
    known = len({sha256 for mine in folders.values() for sha256 in mine}) - len(done)
    return Exchanged(len(done), sum(i.bytes for i in done), known, lines, tuple(failed))


def _take_all(
    place: Place, out: Path, say: Say
) -> tuple[list[Item], dict[str, dict[str, Path]], list[str]]:
    """Return what was fetched, all folders by sender and hash, and what failed."""
    done, failed = list[Item](), list[str]()
    folders: dict[str, dict[str, Path]] = {}
    have = {path.name.rpartition("-")[2]: path for path in out.iterdir() if path.is_dir()}
    for sender, sha256, name in _noted(place):
        try:
            if sha256[:SHORT] not in have:
                item, have[sha256[:SHORT]] = _take_one(place, name, sha256, out)
                done.append(item)
                say(f"fetched {have[sha256[:SHORT]].name} of {sender}")
            folders.setdefault(sender, {})[sha256] = have[sha256[:SHORT]]
        except FleetError as error:
            failed.append(str(error))
    return done, folders, failed


def _noted(place: Place) -> list[tuple[str, str, str]]:
    """List sender, hash and name of all that is there, whole."""
    found = []
    for name in sorted(place.sizes(ITEMS)):
        _, sender, file = name.split("/", 2)
        found.append((sender, file.removesuffix(".json"), name))
    return found


def _take_one(place: Place, name: str, sha256: str, out: Path) -> tuple[Item, Path]:
    item = read_item(place.read(name, 0, BYTES_MAX), f"{place.address}: {name}")
    if item.sha256 != sha256 or item.kind != EPISODES:
        raise FleetError(f"{place.address}: {name} tells of another item: refused")
    called = str(item.about.get("folder", ""))
    called = called if NAME.fullmatch(called) else "episode"
    return item, fetch(place, item, out / f"{called}-{sha256[:SHORT]}")


def fleet(place: Place) -> list[dict[str, Any]]:
    """Read what the robots last told of themselves."""
    return [_told(place.read(name, 0, BYTES_MAX), name) for name in sorted(place.sizes(ROBOTS))]


def _told(data: bytes, name: str) -> dict[str, Any]:
    try:
        return dict(table(json.loads(data), name))
    except (ValueError, RecursionError, SpecError):
        robot = name.rpartition("/")[2].removesuffix(".json")
        return {"robot": robot, "problem": "what it tells cannot be read"}


@contextmanager
def alone(folder: Path) -> Generator[None, None, None]:
    """Keep other processes of this machine from doing the same at once. Raises `FleetError`."""
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FleetError(f"another arfm sync is at work in {folder}") from error
        yield

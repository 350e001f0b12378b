"""A robot of a fleet: the bundles that it has, the one in use, and how another takes over."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

from arfm_ros.core.errors import ArfmError, BundleError, FleetError, SpecError
from arfm_ros.core.values.strict import record, table
from arfm_ros.engines import load_bundle
from arfm_ros.engines.gate.trial import Engine, require_proof
from arfm_ros.episodes.write.durable import in_use, write_durably
from arfm_ros.fleet.content import HASH
from arfm_ros.fleet.fetch import fetch
from arfm_ros.fleet.place import Place
from arfm_ros.fleet.release import Release, newest
from arfm_ros.links import activate

CURRENT, STATE = "current", "fleet.json"
ALLOWED = "allowed_signers"


class Drives(Protocol):
    """Whatever runs the bundle that the link names."""

    def swap(self, link: Path) -> str:
        """Let the bundle behind `link` drive; return why it does not, or ''."""
        ...


@dataclass(frozen=True, slots=True)
class NobodyDrives:
    """The link is all there is: whoever starts next follows it."""

    def swap(self, link: Path) -> str:
        """Do nothing."""
        return ""


@dataclass(frozen=True, slots=True)
class State:
    """What a robot remembers of releases; bundles are told by their content hash."""

    serial: int = 0  # of the newest release that was looked at to the end
    bundle: str = ""  # in use
    before: str = ""  # was in use before it
    ready: str = ""  # passed on this machine
    refused: str = ""  # why the newest release does not drive

    @property
    def waits(self) -> bool:
        """Tell whether a bundle that passed waits for the end of an episode."""
        return self.ready not in {"", self.bundle}


@dataclass(frozen=True, slots=True)
class Robot:
    """`home` holds one folder a bundle, named by its hash, and the link `current`."""

    name: str
    home: Path
    episodes: Path
    allowed: Path
    on: Engine = Engine()
    timeout_s: float = 120.0  # in which a bundle has to prove itself
    drives: Drives = field(default_factory=NobodyDrives)

    @property
    def link(self) -> Path:
        """The link to the bundle in use: what `policy_node`'s parameter `bundle` names."""
        return self.home / CURRENT

    def state(self) -> State:
        """Read what is remembered. Raises `FleetError`."""
        path = self.home / STATE
        try:
            return record(State, table(json.loads(path.read_text()), STATE), STATE)
        except FileNotFoundError:
            return State()
        except (OSError, ValueError, SpecError) as error:
            raise FleetError(f"{path} cannot be read ({error}): remove it") from error

    def remember(self, state: State) -> State:
        """Put what is to be remembered on the disk."""
        write_durably(self.home / STATE, json.dumps(asdict(state)) + "\n")
        return state

    def between_episodes(self) -> bool:
        """Tell whether nothing is being recorded now."""
        return not any(in_use(bag) for bag in self.episodes.glob("*.partial/*.mcap"))


def adopt(place: Place, robot: Robot, say: Callable[[str], None]) -> State:
    """Let the newest release drive, or say why the bundle before it goes on.

    Raises `FleetError` where the place fails or holds something else than what was signed: the
    next call tries again. A bundle that does not pass here is not tried again, and one that
    passed waits for the end of an episode.
    """
    state = robot.state()
    release = newest(place, robot.name, robot.allowed, state.serial, say)
    if release is None:
        return state
    sha256 = release.item.sha256
    folder = robot.home / sha256
    if sha256 == state.bundle:
        return robot.remember(replace(state, serial=release.serial, ready=sha256, refused=""))
    try:
        fetch(place, release.item, folder)
        if sha256 != state.ready:
            _prove(robot, folder)
            state = robot.remember(replace(state, ready=sha256))
    except BundleError as error:
        return _refuse(robot, state, release, str(error), say)
    if not robot.between_episodes():
        say(f"bundle {sha256[:12]} is ready, an episode is being recorded")
        return state
    reason = _swap(robot, folder)
    if reason:
        return _refuse(robot, state, release, reason, say)
    say(f"release {release.serial} by {release.signer}: bundle {sha256[:12]} drives")
    state = robot.remember(State(release.serial, sha256, before=state.bundle, ready=sha256))
    _tidy(robot, {state.bundle, state.before})
    return state


def _tidy(robot: Robot, kept: set[str]) -> None:
    """Remove bundles but the one in use and the one before it."""
    for path in robot.home.iterdir():
        if HASH.fullmatch(path.name.partition(".")[0]) and path.name not in kept:
            shutil.rmtree(path)


def _prove(robot: Robot, folder: Path) -> None:
    """Have a bundle that came from a stranger prove itself, and keep the record beside it."""
    if load_bundle(folder).remote is None:
        require_proof(folder, robot.on, robot.timeout_s, keep=True)


def _swap(robot: Robot, folder: Path) -> str:
    """Move the link; back again where the new bundle does not drive. Return why not, or ''."""
    before = robot.link.resolve() if robot.link.is_symlink() else None
    activate(robot.link, folder)
    try:
        reason = robot.drives.swap(robot.link)
    except ArfmError as error:
        reason = str(error)
    if reason and before is not None:
        activate(robot.link, before)
        robot.drives.swap(robot.link)
    elif reason:
        os.unlink(robot.link)
    return reason


def _refuse(
    robot: Robot, state: State, release: Release, reason: str, say: Callable[[str], None]
) -> State:
    say(f"release {release.serial} refused, {state.bundle[:12] or 'no bundle'} goes on: {reason}")
    state = replace(state, serial=release.serial, ready=state.bundle, refused=reason)
    return robot.remember(state)

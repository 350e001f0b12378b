"""Fetch folders from a place; what is not what its name says never gets a name here."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from arfm_ros.core.errors import FleetError
from arfm_ros.episodes.write.durable import MOVING, move_into_place
from arfm_ros.fleet.content import Item, Piece
from arfm_ros.fleet.place import PART, Place


def fetch(place: Place, item: Item, target: Path) -> Path:
    """Bring the files of `item` into the folder `target`, which appears when all are right.

    What an earlier attempt brought is used. Raises `FleetError` where the place fails, or where
    a file there has another hash; `target` is then not made.
    """
    if target.is_dir():
        return target
    work = target.with_name(target.name + MOVING)
    try:
        work.mkdir(parents=True, exist_ok=True)
        for path in work.iterdir():
            if path.name not in {piece.name for piece in item.pieces}:
                path.unlink()
        _check_room(work, item)
        for piece in item.pieces:
            _fetch_piece(place, f"{item.path}/{piece.name}", piece, work / piece.name)
        move_into_place(work, target)
    except OSError as error:
        raise FleetError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def forget(target: Path) -> None:
    """Remove what attempts to fetch `target` left."""
    shutil.rmtree(target.with_name(target.name + MOVING), ignore_errors=True)


def _fetch_piece(place: Place, name: str, piece: Piece, path: Path) -> None:
    with path.open("ab+") as file:
        file.seek(0)
        digest, have = hashlib.sha256(), 0
        while block := file.read(PART):
            digest.update(block)
            have += len(block)
        while have < piece.bytes:
            block = place.read(name, have, min(have + PART, piece.bytes))
            if not block:
                break
            file.write(block)
            digest.update(block)
            have += len(block)
        file.flush()
        os.fsync(file.fileno())
    if have != piece.bytes or digest.hexdigest() != piece.sha256:
        path.unlink()
        raise FleetError(
            f"{place.address}: {name} was changed: {have} bytes, {digest.hexdigest()[:12]}…; it "
            f"was {piece.bytes} bytes, sha256 {piece.sha256[:12]}…; refused"
        )


def _check_room(work: Path, item: Item) -> None:
    have = sum(path.stat().st_size for path in work.iterdir())
    free, needed = shutil.disk_usage(work).free, item.bytes - have
    if free < needed:
        raise FleetError(f"{work} needs {needed} bytes, {free} are free: make room")

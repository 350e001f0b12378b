"""Send folders to a place: each once, however often it breaks and wherever it goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import BinaryIO

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.write.durable import MOVING
from arfm_ros.fleet.content import Item, Piece
from arfm_ros.fleet.place import INCOMING, PART, Place

ITEMS = "items"
Opener = Callable[[str], BinaryIO]


def sent(place: Place, sender: str) -> set[str]:
    """List the hashes of what a sender has put there, whole."""
    names = place.sizes(f"{ITEMS}/{sender}")
    return {name.rpartition("/")[2].removesuffix(".json") for name in names}


def send(place: Place, item: Item, opener: Opener, sender: str) -> None:
    """Put the files of `item` there; what an earlier attempt left of them is used.

    A name is given when everything is there. Raises `FleetError` where the place fails, and
    `EpisodeError` where a file is not what its hash says.
    """
    if place.moves:
        _send_folder(place, item, opener, sender)
    else:
        _send_objects(place, item, opener, sender)


def note(place: Place, item: Item, sender: str) -> None:
    """Tell whoever looks there that the item is whole, and what it is."""
    text = json.dumps(item.as_json() | {"sender": sender}, indent=1, default=str)
    place.write(f"{ITEMS}/{sender}/{item.sha256}.json", text.encode())


def _send_folder(place: Place, item: Item, opener: Opener, sender: str) -> None:
    work = f"{item.path}.{sender}{MOVING}"
    if not place.exists(item.path):
        have = place.sizes(work)
        for piece in item.pieces:
            with opener(piece.name) as file:
                _append(place, f"{work}/{piece.name}", file, piece, have)
        if not place.exists(item.path):  # another one may have been faster
            place.rename(work, item.path)
            return
    place.remove([work])


def _append(place: Place, name: str, file: BinaryIO, piece: Piece, have: dict[str, int]) -> None:
    """Go on behind what is there, if that is the beginning of the file."""
    there = have.get(name)
    if there is not None and not _is_beginning(place, name, file, there):
        place.remove([name])
        there = None
    file.seek(0)
    digest = hashlib.sha256()
    for begin, block in _blocks(file):
        digest.update(block)
        new = block[max((there or 0) - begin, 0) :]
        if new or there is None:
            place.append(name, new)
            there = begin + len(block)
    if there is None:
        place.append(name, b"")
    if digest.hexdigest() != piece.sha256:
        place.remove([name])
        raise _changed(piece)


def _is_beginning(place: Place, name: str, file: BinaryIO, count: int) -> bool:
    file.seek(0)
    for begin in range(0, count, PART):
        end = min(begin + PART, count)
        if file.read(end - begin) != place.read(name, begin, end):
            return False
    return True


def _send_objects(place: Place, item: Item, opener: Opener, sender: str) -> None:
    have = place.sizes(item.path)
    incoming = f"{INCOMING}/{sender}/{item.sha256}"
    parts = place.sizes(incoming)
    for piece in item.pieces:
        name = f"{item.path}/{piece.name}"
        if have.get(name) == piece.bytes:
            continue
        with opener(piece.name) as file:
            if piece.bytes > PART:
                place.join(
                    name, _send_parts(place, f"{incoming}/{piece.name}", file, piece, parts)
                )
            else:
                place.write(name, _whole(file, piece))
    place.remove(place.sizes(incoming) if parts or item.bytes > PART else ())


def _whole(file: BinaryIO, piece: Piece) -> bytes:
    data = file.read()
    if hashlib.sha256(data).hexdigest() != piece.sha256:
        raise _changed(piece)
    return data


def _send_parts(
    place: Place, prefix: str, file: BinaryIO, piece: Piece, have: dict[str, int]
) -> list[str]:
    """Put the parts there that are missing; each is named by what is in it."""
    digest, names = hashlib.sha256(), list[str]()
    for begin, block in _blocks(file):
        digest.update(block)
        name = f"{prefix}/{begin // PART:06d}-{hashlib.sha256(block).hexdigest()[:32]}"
        if have.get(name) != len(block):
            place.write(name, block)
        names.append(name)
    if digest.hexdigest() != piece.sha256:
        raise _changed(piece)
    return names


def _blocks(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    begin = 0
    while block := file.read(PART):
        yield begin, block
        begin += len(block)


def _changed(piece: Piece) -> EpisodeError:
    return EpisodeError(
        f"{piece.name} is not what was recorded: its sha256 is not {piece.sha256[:12]}…; it is "
        "not sent: arfm episodes audit says more"
    )

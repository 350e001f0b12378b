"""What is moved: folders that never change, named by the hash of what is in them."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from arfm_ros.core.errors import BundleError, EpisodeError, FleetError, SpecError
from arfm_ros.core.values.strict import check_depth, integer, rows, table, text
from arfm_ros.engines.bundle import PARITY, file_sha256, load_bundle
from arfm_ros.episodes.edit.relabel import recorded
from arfm_ros.episodes.write import manifest, metadata

EPISODES, BUNDLES = "episodes", "bundles"
PIECES_MAX, BYTES_MAX = 64, 1 << 40
HASH = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of a folder."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Item:
    """A folder. `sha256` names it; `about` is what a list shows of it."""

    kind: str
    sha256: str
    pieces: tuple[Piece, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where it lies in a store."""
        return f"{self.kind}/{self.sha256}"

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(piece.bytes for piece in self.pieces)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def content_sha256(pieces: Iterable[Piece]) -> str:
    """Hash what `sha256sum` prints of the files, sorted by name.

    An episode's manifest does not count: it tells of labels, which may come later.
    """
    named = sorted((p.name, p.sha256) for p in pieces if p.name != manifest.FILE_NAME)
    return hashlib.sha256("".join(f"{h}  {name}\n" for name, h in named).encode()).hexdigest()


def episode_item(folder: Path) -> Item:
    """Name a finished episode; its bag is hashed only where no manifest tells its hash.

    Raises `EpisodeError` for a folder that holds no bag, or a manifest that cannot be read.
    """
    known = manifest.load(folder)
    told = {} if known is None else {known.mcap: known.sha256}
    bags = sorted(folder.glob("*.mcap"))
    if not bags:
        raise EpisodeError(f"{folder} holds no .mcap file: it is no episode")
    odd = [bag.name for bag in bags if not NAME.fullmatch(bag.name)]
    if odd:
        raise EpisodeError(f"{folder} has files whose names do not travel: {', '.join(odd)}")
    files = [*bags, *filter(Path.is_file, [folder / metadata.FILE_NAME])]
    pieces = [
        Piece(path.name, path.stat().st_size, told.get(path.name) or file_sha256(path))
        for path in files
    ]
    about: dict[str, Any] = {"folder": folder.name}
    if known is not None:
        data = _manifest(folder)
        name = manifest.FILE_NAME
        pieces.append(Piece(name, len(data), hashlib.sha256(data).hexdigest()))
        about |= {"task": str(known.label.get("task") or known.info.get("task") or "")}
        about |= {"seconds": round(known.seconds, 3), "start_ns": known.start_ns}
    return Item(EPISODES, content_sha256(pieces), tuple(pieces), about)


def bundle_item(folder: Path) -> Item:
    """Name a bundle: its files but what was measured or built on one machine.

    Raises `BundleError` for one whose own hashes do not hold.
    """
    bundle = load_bundle(folder)
    paths = sorted(p for p in folder.iterdir() if p.is_file() and p.name != PARITY)
    odd = [path.name for path in paths if not NAME.fullmatch(path.name)]
    if odd or len(paths) > PIECES_MAX:
        raise BundleError(f"{folder} has files that are none of a bundle's: {odd or paths}")
    pieces = tuple(Piece(path.name, path.stat().st_size, file_sha256(path)) for path in paths)
    about = {"name": bundle.name, "policy_sha256": bundle.sha256}
    return Item(BUNDLES, content_sha256(pieces), pieces, about)


def open_piece(folder: Path, name: str) -> BinaryIO:
    """Open a file of a folder as it is sent: a manifest as it was recorded."""
    if name == manifest.FILE_NAME:
        return io.BytesIO(_manifest(folder))
    return (folder / name).open("rb")


def _manifest(folder: Path) -> bytes:
    return recorded(folder).encode()


def read_item(data: bytes | str, where: str) -> Item:
    """Read what somebody wrote of an item. Raises `FleetError` for what is none."""
    try:
        return item_of(json.loads(data))
    except (ValueError, RecursionError, SpecError, KeyError) as error:
        raise FleetError(f"{where} tells of no item ({error}): refused") from error


def item_of(raw: Any) -> Item:
    """Make an item of plain values. Raises `SpecError` or `KeyError`."""
    check_depth(raw)
    given = table(raw, "item")
    pieces = tuple(_piece(table(one, "piece")) for one in rows(given["pieces"], "pieces", 64))
    kind, sha256 = text(given["kind"], "kind"), text(given["sha256"], "sha256")
    if kind not in {EPISODES, BUNDLES} or not pieces:
        raise SpecError(f"an item of kind '{kind[:40]}' with {len(pieces)} files")
    if len({piece.name for piece in pieces}) < len(pieces):
        raise SpecError("two files of one name")
    if sha256 != content_sha256(pieces):
        raise SpecError(f"its name {sha256[:12]}… is not the hash of its files")
    return Item(kind, sha256, pieces, dict(table(given["about"], "about")))


def _piece(raw: Mapping[str, Any]) -> Piece:
    name, sha256 = text(raw["name"], "name"), text(raw["sha256"], "sha256")
    if not NAME.fullmatch(name) or not HASH.fullmatch(sha256):
        raise SpecError(f"a file '{name[:40]}' with hash '{sha256[:12]}'")
    return Piece(name, integer(raw["bytes"], "bytes", (0, BYTES_MAX)), sha256)

"""Mend what a kill, a power cut or a full disk left: every whole message, in a whole bag.

The original stays beside it as `<name>.original`. A recovery that is killed itself is begun anew.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.edit.copying import copy, offered_qos, readable
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write import manifest
from arfm_ros.episodes.write.content import Making
from arfm_ros.episodes.write.durable import (
    ORIGINAL,
    PARTIAL,
    RECOVERING,
    in_use,
    move_into_place,
    sync_folder,
)
from arfm_ros.episodes.write.writer import EpisodeWriter

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Recovered:
    """A mended episode: where it is, what it holds, what is lost of it in words."""

    folder: Path
    messages: int
    lost: tuple[str, ...]
    original: Path


def recover(source: Path) -> Recovered:
    """Mend one folder: a `.partial` one, or an episode whose bag is damaged.

    Raises `EpisodeError` where it is being recorded, where nothing in it can be read, or where
    something else has the name that the result needs.
    """
    source = Path(source)
    files = sorted(source.glob("*.mcap"))
    if not files:
        raise EpisodeError(f"{source} holds no .mcap file: there is nothing to recover")
    if any(in_use(path) for path in files):
        raise EpisodeError(f"{source} is being recorded: stop the recorder first")
    target = source.with_name(source.name.removesuffix(PARTIAL))
    original = target.with_name(target.name + ORIGINAL)
    if original.exists():
        raise EpisodeError(f"{original} is in the way: move it, it is never overwritten")
    sha256 = bag_sha256(files)
    try:
        known = _mended(target, sha256) if target != source else None
        if known is None:
            known = _copy(source, target, sha256)
        return _exchange(source, target, known)
    except OSError as error:
        raise EpisodeError(f"cannot recover {source}: {error.strerror or error}") from error


def finish_interrupted(out: Path) -> list[Path]:
    """Give their names to episodes whose recovery was killed between its two last renames."""
    done = []
    for work in sorted(Path(out).rglob(f"*{RECOVERING}")):
        target = work.with_name(work.name.removesuffix(RECOVERING))
        if (work / target.name).is_dir() and not target.exists():
            if not target.with_name(target.name + PARTIAL).exists():
                move_into_place(work / target.name, target)
                work.rmdir()
                done.append(target)
    return done


def _mended(target: Path, sha256: str) -> manifest.Manifest | None:
    """Find the result of a recovery that was killed just before its end."""
    if not target.exists():
        return None
    known = manifest.load(target)
    if known is None or known.source_sha256 != sha256:
        raise EpisodeError(f"{target} exists already and is not overwritten: move one of the two")
    return known


def _copy(source: Path, target: Path, sha256: str) -> manifest.Manifest:
    """Write all that is readable beside the source, in a folder that no reader takes."""
    work = target.with_name(target.name + RECOVERING)
    if work.exists():
        if any(in_use(path) for path in work.glob("*/*.mcap")):
            raise EpisodeError(f"{source} is being recovered by another process")
        shutil.rmtree(work)  # a copy that was not finished
    reader = EpisodeReader(source)
    for _ in reader.records():  # finds all damage, which the new bag tells from its beginning
        pass
    lost = (*reader.damage, *_unreadable(reader))
    if source == target and not lost and all(file.indexed for file in reader.files):
        raise EpisodeError(f"{source} is whole: there is nothing to mend")
    work.mkdir()
    making = Making(manifest.RECOVERED, lost=lost, source_sha256=sha256, info=reader.info())
    writer = EpisodeWriter(work / target.name, offered_qos(reader.files), making)
    end_ns = copy(writer, reader.records(readable(reader)))
    if not end_ns:
        shutil.rmtree(work)
        raise EpisodeError(f"{source}: no message can be read ({'; '.join(lost)})")
    writer.label({"recovered": True, "damage": list(lost)}, end_ns)
    known = manifest.load(writer.close())
    if known is None:
        raise EpisodeError(f"{work}: its manifest is gone")
    return known


def _exchange(source: Path, target: Path, known: manifest.Manifest) -> Recovered:
    """Put the original aside and the copy in its place; a kill in between loses neither."""
    original = target.with_name(target.name + ORIGINAL)
    work = target.with_name(target.name + RECOVERING)
    if source == target:
        move_into_place(source, original)
    if (work / target.name).exists():
        move_into_place(work / target.name, target)
        work.rmdir()
    if source != target:
        move_into_place(source, original)
    sync_folder(target.parent)
    return Recovered(target, known.messages, known.lost, original)


def _unreadable(reader: EpisodeReader) -> tuple[str, ...]:
    left = sorted(set(reader.topics) - readable(reader))
    return tuple(f"{topic} is left out: its type is unknown" for topic in left)


def bag_sha256(files: list[Path]) -> str:
    """Hash the bags of an episode, one after the other."""
    digest = hashlib.sha256()
    for path in files:
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()

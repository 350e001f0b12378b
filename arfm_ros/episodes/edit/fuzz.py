"""Damage episodes in many ways and look whether readers keep their word.

A damaged episode is read as far as it is whole, with the damage told, or refused with an
`EpisodeError`. No message may come out of it that did not go in, and none may be missing without
a word.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.audit import audit
from arfm_ros.episodes.edit.recover import recover
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write.manifest import FILE_NAME as MANIFEST
from arfm_ros.episodes.write.metadata import FILE_NAME as METADATA

BLOCK = 4096
RECOVER_EVERY = 10
NO_UTF8 = b"\xff\xfe\xfa"
Seen = tuple[str, str, bytes, int, int, int]
Damage = Callable[[bytearray, np.random.Generator], bytearray]


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that was not kept: which trial, how it was damaged, what happened."""

    trial: int
    kind: str
    what: str


def cut(data: bytearray, rng: np.random.Generator) -> bytearray:
    """End the file at a multiple of 4 KiB, or anywhere."""
    blocks = len(data) // BLOCK
    at = BLOCK * int(rng.integers(blocks + 1)) if rng.random() < 0.5 else rng.integers(len(data))
    return data[: int(at)]


def flip(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Flip one to eight bits."""
    for at in rng.integers(len(data), size=int(rng.integers(1, 9))):
        data[int(at)] ^= 1 << int(rng.integers(8))
    return data


def blank(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Zero up to 4 KiB, as a file system does that lost a block."""
    at, size = int(rng.integers(len(data))), int(rng.integers(1, BLOCK))
    data[at : at + size] = bytes(len(data[at : at + size]))
    return data


def lose(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Take some bytes out, so that all behind them lies elsewhere."""
    at, size = int(rng.integers(len(data))), int(rng.integers(1, 200))
    return data[:at] + data[at + size :]


def repeat(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Have a piece twice."""
    at, size = int(rng.integers(len(data))), int(rng.integers(1, BLOCK))
    return data[: at + size] + data[at:]


def garble(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Put bytes that are no UTF-8 where a text is: names of types, topics, definitions."""
    words = (b"sensor_msgs", b"std_msgs", b"/joint", b"float64", b"string", b"cdr", b"lz4")
    places = [at for word in words for at in _all(data, word)]
    if places:
        at = int(rng.choice(places))
        data[at : at + len(NO_UTF8)] = NO_UTF8
    return data


def misname(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Tell another schema than the messages have."""
    return bytearray(bytes(data).replace(b"float64[] position", b"float32[] positiom"))


KINDS: dict[str, Damage] = {
    one.__name__: one for one in (cut, flip, blank, lose, repeat, garble, misname)
}


def fuzz(
    episode: Path, scratch: Path, trials: int, seed: int
) -> tuple[Counter[str], list[Broken]]:
    """Damage copies of a whole `episode`; return how often what happened, and broken promises."""
    original = seen(EpisodeReader(episode))
    (bag,) = episode.glob("*.mcap")
    data, happened, broken = bag.read_bytes(), Counter[str](), []
    for trial in range(trials):
        rng = np.random.default_rng((seed, trial))
        kind = list(KINDS)[trial % len(KINDS)]
        folder = scratch / f"trial_{trial}"
        folder.mkdir()
        (folder / bag.name).write_bytes(KINDS[kind](bytearray(data), rng))
        _beside(episode, folder, rng)
        try:
            happened[f"{kind}: {_judge(folder, original)}"] += 1
            if trial % RECOVER_EVERY == 0:
                happened[f"recover: {_recovered(folder, original)}"] += 1
        except Exception as error:  # noqa: BLE001 - what a fuzzer is for: it is reported
            broken.append(Broken(trial, kind, f"{type(error).__name__}: {error}"[:300]))
        for left in scratch.iterdir():
            shutil.rmtree(left)
    return happened, broken


def seen(reader: EpisodeReader) -> Counter[Seen]:
    """Give all messages of an episode with how often they are there."""
    return Counter(
        (r.topic, r.type_name, bytes(r.cdr), r.log_time_ns, r.publish_time_ns, r.sequence)
        for r in reader.records()
    )


def _beside(episode: Path, folder: Path, rng: np.random.Generator) -> None:
    """Copy what lies beside the bag, damaged or left out now and then."""
    for name in (METADATA, MANIFEST):
        if rng.random() < 0.7 and (episode / name).exists():
            text = bytearray((episode / name).read_bytes())
            (folder / name).write_bytes(flip(text, rng) if rng.random() < 0.3 else text)


def _judge(folder: Path, original: Counter[Seen]) -> str:
    """Read all that a reader can; raise `AssertionError` where a promise is broken."""
    try:
        reader = EpisodeReader(folder)
        found = seen(reader)
        _same(found, original, reader.damage)
        for topic in reader.topics:
            _deserialize(reader, topic)
        reader.label(), reader.info()
        audit(folder)
    except EpisodeError:
        return "refused"
    return "read in part" if reader.damage else "read"


def _same(found: Counter[Seen], original: Counter[Seen], damage: list[str]) -> None:
    if strange := set(found) - set(original):
        raise AssertionError(f"{len(strange)} messages came out that did not go in")
    if found != original and not damage:
        lost, total = sum((original - found).values()), sum(original.values())
        raise AssertionError(f"{lost} of {total} messages are missing or twice in silence")


def _deserialize(reader: EpisodeReader, topic: str) -> None:
    try:
        for _ in reader.messages(topic):
            pass
    except EpisodeError:
        return  # refused by name


def _recovered(folder: Path, original: Counter[Seen]) -> str:
    try:
        done = recover(folder)
    except EpisodeError:
        return "refused"
    reader = EpisodeReader(done.folder)
    kept = {one for one in seen(reader) if not one[0].endswith("/label")}
    if strange := kept - set(original):
        raise AssertionError(f"{len(strange)} messages were made up by the recovery")
    if reader.damage:
        raise AssertionError(f"the recovered episode is damaged: {reader.damage[0]}")
    return "mended"


def _all(data: bytearray, word: bytes) -> list[int]:
    found, at = [], data.find(word)
    while at >= 0:
        found.append(at)
        at = data.find(word, at + 1)
    return found

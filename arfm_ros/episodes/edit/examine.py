"""What is wrong with an episode for whoever learns from it, each with what to do about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from arfm_ros.episodes.audit import EpisodeAudit, audit
from arfm_ros.episodes.reader import EpisodeReader, stamp_ns
from arfm_ros.episodes.write import manifest

REPEATS = 5  # the same picture so often in a row is a frozen camera, or a scene that stands still
JUMP_NS = 1_000_000_000
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault and its remedy."""

    what: str
    fix: str


def examine(folder: Path) -> tuple[EpisodeAudit, tuple[Finding, ...]]:
    """Read an episode once and give its numbers and what is wrong with it.

    Raises `EpisodeError` for one that cannot be read at all.
    """
    report = audit(folder)
    found = [Finding(note, f"arfm episodes recover {folder}") for note in report.damage]
    found += _against_manifest(folder)
    for name, topic in report.topics.items():
        if topic.lost:
            text = f"{name}: {topic.lost} of {topic.count + topic.lost} messages are missing"
            found.append(Finding(text, "record on a machine that keeps up; leave it out"))
        if not topic.monotonic:
            text = f"{name}: stamps go back in time"
            found.append(Finding(text, "synchronise the clocks; --topics with 'times: received'"))
    found += _pictures(EpisodeReader(folder))
    if "success" not in report.label:
        fix = f"arfm episodes label {folder} success=true"
        found.append(Finding("nobody said whether it succeeded", fix))
    return report, tuple(found)


def _against_manifest(folder: Path) -> list[Finding]:
    known = manifest.load(folder)
    if known is None:
        return []
    path = folder / known.mcap
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != known.sha256:
        text = f"{path.name} is not what was recorded: its sha256 differs from the manifest's"
        return [Finding(text, "fetch it again from where it was recorded")]
    return [Finding(why, "see the manifest; leave it out") for why in known.lost]


def _pictures(reader: EpisodeReader) -> list[Finding]:
    """Look for pictures that repeat bit by bit and for jumps of their stamps."""
    images = {name for name, kind in reader.topics.items() if kind.endswith("Image")}
    last: dict[str, tuple[int, int]] = {}  # hash and stamp
    runs: dict[str, int] = dict.fromkeys(images, 0)
    longest, jumps = dict(runs), dict(runs)
    for record in reader.records(images):
        name, stamp = record.topic, stamp_ns(record)
        content = hash(bytes(record.cdr[-len(record.cdr) // 2 :]))  # without the header
        before = last.get(name)
        if before is not None:
            runs[name] = runs[name] + 1 if before[0] == content else 0
            longest[name] = max(longest[name], runs[name])
            jumps[name] += abs(stamp - before[1]) > JUMP_NS
        last[name] = (content, stamp)
    found = [
        Finding(f"{name}: the same picture {n + 1} times in a row", "look at the camera's driver")
        for name, n in longest.items()
        if n >= REPEATS
    ]
    return found + [
        Finding(f"{name}: its stamps jump {n} times by more than a second", "leave it out")
        for name, n in jumps.items()
        if n
    ]

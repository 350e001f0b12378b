"""One episode, examined."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.audit import EpisodeAudit, audit
from arfm_ros.episodes.examine.finding import Finding, Traits
from arfm_ros.episodes.examine.motion import motion_faults
from arfm_ros.episodes.examine.pictures import camera_faults, mean_colours
from arfm_ros.episodes.read.axes import AxisSeries, read_axes
from arfm_ros.episodes.read.topics import OWN
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write import manifest
from arfm_ros.wire.definitions import has_header

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Examined:
    """Its numbers, what is wrong with it, and what it is compared by with others."""

    report: EpisodeAudit
    found: tuple[Finding, ...]
    traits: Traits


def examine(folder: Path) -> Examined:
    """Read an episode and say what is wrong with it.

    Raises `EpisodeError` for one that cannot be read at all.
    """
    report, reader = audit(folder), EpisodeReader(folder)
    found = [Finding(note, f"arfm episodes recover {folder}") for note in report.damage]
    found += _against_manifest(folder)
    for name, topic in report.topics.items():
        if topic.lost:
            text = f"{name}: {topic.lost} of {topic.count + topic.lost} messages are missing"
            found.append(Finding(text, "record on a machine that keeps up; leave it out"))
        if not topic.monotonic and has_header(topic.type_name):  # words have no stamps
            text = f"{name}: stamps go back in time"
            found.append(Finding(text, "synchronise the clocks; --topics with 'times: received'"))
    try:
        measured, commanded = (read_axes(reader, s) for s in (OWN.states, OWN.commands))
        colours = mean_colours(reader)
    except EpisodeError as error:
        found.append(Finding(str(error), "a topic map (--topics), or leave it out"))
        measured, commanded, colours = {}, {}, {}
    found += camera_faults(reader, measured, _span(reader))
    found += motion_faults(folder, measured, commanded)
    if "success" not in report.label:
        fix = f"arfm episodes label {folder} success=true"
        found.append(Finding("nobody said whether it succeeded", fix))
    traits = Traits(folder, _kind(reader, report), _begin(measured), colours)
    return Examined(report, tuple(found), traits)


def _kind(reader: EpisodeReader, report: EpisodeAudit) -> tuple[str, str]:
    info = reader.info()
    task = report.label.get("task") or info.get("task") or ""
    return str(task), str(info.get("robot_sha256", ""))


def _begin(measured: dict[str, AxisSeries]) -> dict[str, float]:
    return {name: float(axis.value[0]) for name, axis in measured.items() if len(axis.value)}


def _span(reader: EpisodeReader) -> tuple[int, int]:
    times = [record.log_time_ns for record in reader.records()]
    return (min(times), max(times)) if times else (0, 0)


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

"""What a picture of an episode shows, as arrays: frames, joints, chunks, authority, latencies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.safety.smoothness import SAMPLES_MIN, shaking
from arfm_ros.episodes.authorities import said_owners
from arfm_ros.episodes.read.axes import read_axes
from arfm_ros.episodes.read.said import topics_in
from arfm_ros.episodes.read.topics import OWN, Source
from arfm_ros.episodes.reader import EpisodeReader, stamp_ns
from arfm_ros.episodes.series import decode_image, texts
from arfm_ros.episodes.show.events import Event, Gap, changes, read_events, read_gaps
from arfm_ros.wire.joints import JOINT_STATE

F64 = NDArray[np.float64]
LATENCY = "latency_ms."  # prefix of stage latencies in policy/chunk_info
GRID_S = 0.01  # of what is measured on even periods


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """Values [N] at times [N] in seconds of the episode."""

    t_s: F64
    value: F64


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """One action chunk: positions [H, A] due at [H] seconds, from what was seen at `t_s`."""

    t_s: float
    due_s: F64
    names: tuple[str, ...]
    position: F64


@dataclass(slots=True)
class Story:
    """An episode, ready to be drawn; empty where something was not recorded."""

    folder: Path
    label: Mapping[str, object]
    damage: list[str]
    instruction: str = ""
    begin_ns: int = 0
    duration_s: float = 0.0
    strips: dict[str, list[tuple[float, NDArray[np.uint8]]]] = field(default_factory=dict)
    measured: dict[str, Line] = field(default_factory=dict)
    commanded: dict[str, Line] = field(default_factory=dict)
    chunks: list[Chunk] = field(default_factory=list)
    authority: dict[str, list[tuple[float, str]]] = field(default_factory=dict)  # group -> from
    events: list[Event] = field(default_factory=list)
    gaps: dict[str, list[Gap]] = field(default_factory=dict)  # by topic, messages that are missing
    latencies: dict[str, Line] = field(default_factory=dict)  # stage -> ms
    tools: tuple[str, ...] = ()  # what of the joints is an opening, 0 closed, 1 open
    shaking: float | None = None  # share of the joint velocities' power above 3 Hz


def read_story(folder: Path, frames: int = 9) -> Story:
    """Read what there is; `frames` pictures of each camera, evenly spread."""
    reader = EpisodeReader(folder)
    story = Story(reader.folder, reader.label(), reader.damage)
    instructions = texts(reader, "instruction")
    story.instruction = instructions[-1][1] if instructions else ""
    begin_ns, end_ns = _bounds(reader)
    story.begin_ns, story.duration_s = begin_ns, (end_ns - begin_ns) / 1e9
    arms, others = _state_topics(reader)
    story.measured = _lines(reader, arms, begin_ns)
    tools = _lines(reader, others, begin_ns)
    story.shaking = _shaking({n: line for n, line in story.measured.items() if n not in tools})
    story.measured |= tools
    story.tools = tuple(tools)
    story.commanded = _lines(reader, OWN.commands, begin_ns)
    story.chunks = _chunks(reader, begin_ns)
    owners = said_owners(reader)
    story.authority = {group: changes(said, begin_ns) for group, said in owners.items()}
    story.events = read_events(reader, begin_ns)
    story.gaps = read_gaps(reader, begin_ns)
    story.latencies = _latencies(reader, begin_ns)
    story.strips = _strips(reader, begin_ns, frames)
    return story


def _bounds(reader: EpisodeReader) -> tuple[int, int]:
    arms, _ = _state_topics(reader)
    read = (read_axes(reader, sources) for sources in (arms, OWN.commands))
    stamps = [series.stamp_ns for axes in read for series in axes.values()]
    if not stamps:
        times = [record.log_time_ns for record in reader.records()] or [0]
        return min(times), max(times)
    return min(int(s[0]) for s in stamps), max(int(s[-1]) for s in stamps)


def _state_topics(reader: EpisodeReader) -> tuple[list[Source], list[Source]]:
    """List what measures the arms, of however many, and what measures their tools."""
    arm, tool = ("/" + source.topic for source in OWN.states)
    told = topics_in(reader).states
    found = [_told(t, told) for t, kind in sorted(reader.topics.items()) if kind == JOINT_STATE]
    tools = [one for one in found if one.topic.endswith(tool)]
    return [one for one in found if one.topic.endswith(arm) and one not in tools], tools


def _told(topic: str, told: Sequence[Source]) -> Source:
    """Read a topic as the episode says that it is to be read, in whatever namespace it is."""
    fits = [one for one in told if one.calls and topic.endswith("/" + one.topic)]
    return replace(max(fits, key=lambda one: len(one.topic), default=Source(topic)), topic=topic)


def _lines(reader: EpisodeReader, sources: Iterable[Source], begin_ns: int) -> dict[str, Line]:
    series = read_axes(reader, sources)
    return {n: Line((one.stamp_ns - begin_ns) / 1e9, one.value) for n, one in series.items()}


def _shaking(measured: Mapping[str, Line]) -> float | None:
    arm = list(measured.values())
    if not arm or len(arm[0].t_s) < SAMPLES_MIN:
        return None
    grid = np.arange(arm[0].t_s[0], arm[0].t_s[-1], GRID_S)
    paths = np.stack([np.interp(grid, line.t_s, line.value) for line in arm], axis=1)
    if len(grid) < SAMPLES_MIN:
        return None
    return shaking(np.gradient(paths, GRID_S, axis=0), GRID_S)


def _chunks(reader: EpisodeReader, begin_ns: int) -> list[Chunk]:
    topic = reader.find("policy/action_chunk")
    if topic is None:
        return []
    return [
        Chunk(
            t_s=(stamp - begin_ns) / 1e9,
            due_s=(stamp - begin_ns) / 1e9
            + np.array([
                p.time_from_start.sec + p.time_from_start.nanosec / 1e9 for p in m.points
            ]),
            names=tuple(m.joint_names),
            position=np.array([p.positions for p in m.points]),
        )
        for stamp, m in reader.messages(topic)
        if m.points
    ]


def _latencies(reader: EpisodeReader, begin_ns: int) -> dict[str, Line]:
    topic = reader.find("policy/chunk_info")
    points: dict[str, list[tuple[float, float]]] = {}
    for stamp, message in reader.messages(topic) if topic else ():
        for pair in (pair for status in message.status for pair in status.values):
            if pair.key.startswith(LATENCY):
                stage = pair.key.removeprefix(LATENCY)
                points.setdefault(stage, []).append(((stamp - begin_ns) / 1e9, float(pair.value)))
    return {
        stage: Line(*np.array(rows, dtype=np.float64).T) for stage, rows in sorted(points.items())
    }


def _strips(
    reader: EpisodeReader, begin_ns: int, frames: int
) -> dict[str, list[tuple[float, NDArray[np.uint8]]]]:
    strips: dict[str, list[tuple[float, NDArray[np.uint8]]]] = {}
    for topic, type_name in sorted(reader.topics.items()):
        camera = topic.split("/image_raw")[0].rsplit("/", 1)[-1]
        if not type_name.endswith("Image") or camera in strips:
            continue
        count = sum(1 for _ in reader.records({topic}))
        chosen = set(np.linspace(0, count - 1, frames).round().astype(int).tolist())
        strips[camera] = [
            ((stamp_ns(record) - begin_ns) / 1e9, decode_image(record).copy())
            for n, record in enumerate(reader.records({topic}))
            if n in chosen
        ]
    return {camera: strip for camera, strip in strips.items() if strip}

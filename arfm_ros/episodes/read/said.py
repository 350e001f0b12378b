"""What an episode says of its own topics: what messages call axes, where cameras are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any
from weakref import WeakKeyDictionary

from arfm_ros.core.errors import ConfigError, SpecError
from arfm_ros.core.values import strict
from arfm_ros.episodes.read.topics import OWN, Call, Source, Topics, topics_of
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.robot import Robot

STATES, CAMERAS = "state_topics", "camera_topics"  # keys of episode/info
TOPICS, AXES = 64, 1024  # at most
_kept: WeakKeyDictionary[EpisodeReader, Topics] = WeakKeyDictionary()


def said_of(robot: Robot) -> dict[str, Any]:
    """Return what a recorder writes into episode/info of a robot's topics, for JSON."""
    topics = topics_of(robot)
    return {
        STATES: [asdict(one) for one in topics.states],
        CAMERAS: {name: topic for name, topic in topics.cameras},
    }


def topics_in(reader: EpisodeReader, given: Topics = OWN) -> Topics:
    """Return where an episode holds what: as `given` says, else as the episode itself does.

    One that says nothing is read by the usual topics and names.
    """
    if given != OWN:
        return given
    if reader not in _kept:
        _kept[reader] = _read(reader.info())
    return _kept[reader]


def said_sources(reader: EpisodeReader, sources: Iterable[Source]) -> tuple[Source, ...]:
    """Return the sources of joint values; in place of the usual ones those that it tells of."""
    wanted = tuple(sources)
    return topics_in(reader).states if wanted == OWN.states else wanted


def said_robot(reader: EpisodeReader) -> Robot | None:
    """Return the robot that an episode names; None where it names none that is known here."""
    name = reader.info().get("robot")
    with suppress(ConfigError):
        return load_robot(name) if isinstance(name, str) and name else None
    return None


def _read(info: Mapping[str, object]) -> Topics:
    with suppress(SpecError, KeyError, TypeError):
        states = [_source(one) for one in strict.rows(info[STATES], STATES, TOPICS)]
        cameras = strict.table(info[CAMERAS], CAMERAS).items()
        pairs = tuple(
            (strict.text(n, CAMERAS), strict.text(topic, CAMERAS)) for n, topic in cameras
        )
        return _whole(Topics(states=tuple(states), cameras=pairs))
    name = info.get("robot")  # recorded before episodes told of their topics
    with suppress(ConfigError):
        return _whole(topics_of(load_robot(str(name)))) if name else OWN
    return OWN


def _whole(topics: Topics) -> Topics:
    """Keep what no axis is called too; of two readings of a topic the first names all axes."""
    first: dict[str, Source] = {}
    for one in topics.states:
        first.setdefault(one.topic, replace(one, rest=True))
    return replace(topics, states=tuple(first.values()))


def _source(raw: object) -> Source:
    given = strict.table(raw, STATES)
    calls = tuple(_call(one) for one in strict.rows(given["calls"], STATES, AXES))
    return Source(strict.text(given["topic"], STATES), calls)


def _call(raw: object) -> Call:
    given = strict.table(raw, STATES)
    said, axis = (strict.text(given[key], STATES) for key in ("said", "axis"))
    scale, offset = (strict.number(given[key], STATES) for key in ("scale", "offset"))
    return Call(said, axis, scale, offset)

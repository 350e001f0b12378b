"""Faults of what sensors, policy and human send: the relay alters it."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import replace

from arfm_ros.faults.inject.wiring import CAMERAS, STREAMS, TELEOP
from arfm_ros.faults.judging.expected import (
    ANY,
    CAMERA_AGE_S,
    HUMAN_AGE_S,
    SAFE,
    STATE_GAP_S,
    Ground,
    Injection,
    Kind,
    ends_chunk,
    stops,
)

NS = 1e9
STUCK_CAMERA_S = 0.5 + 1.0  # the arm has to have moved 0.1 rad
STALE = "joint state is stale|lack"


def relayed(names: Sequence[str], fault: str) -> Injection:
    """Return the injection of `fault` into one of the streams `names`, drawn anew each time."""
    return lambda ground: _altered(ground, (ground.rng.choice(names),), fault)


def everywhere(fault: str) -> Injection:
    """Return the injection of `fault` into all streams at once, as a bad network does."""
    return lambda ground: _altered(ground, tuple(STREAMS), fault)


@contextmanager
def _altered(ground: Ground, names: Sequence[str], fault: str) -> Generator[float, None, None]:
    relay = ground.stack.relay
    relay.forget_answers()
    for name in names:
        relay.order(stream=name, fault=fault, seed=ground.rng.randrange(2**31))
    answer = relay.answer()
    try:
        yield answer["at_ns"] / NS if answer else time.monotonic()
    finally:
        for name in names:
            relay.order(stream=name)


def kinds() -> Iterable[Kind]:
    """Return all kinds of this family."""
    yield from _states()
    yield from _cameras()
    yield from _chunks()
    yield from _humans()
    for name, fault, lasts_s in (
        ("loss", "lossy", 1.5),
        ("delay", "lagging", 1.5),
        ("partition", "off", 1.5),
    ):
        expected = stops(STATE_GAP_S, STALE, latched=True) if fault == "off" else SAFE
        yield Kind(f"network {name}", everywhere(fault), expected, lasts_s)


def _states() -> Iterable[Kind]:
    jumps = "jumped|does not follow|not move|not finite|a joint is off"
    for fault, expected in (
        ("off", stops(STATE_GAP_S, STALE, latched=True)),
        ("stuck", SAFE),  # judged only as far as the arm moves meanwhile
        ("garbage", stops(0.0, jumps, latched=True)),
        ("wrong", stops(0.0, jumps, latched=True)),
        ("slow", stops(STATE_GAP_S, STALE)),
        ("delayed", stops(STATE_GAP_S, STALE)),
        ("intermittent", stops(STATE_GAP_S, STALE)),
        ("nan", stops(0.0, "not finite", latched=True)),
        ("old", stops(0.03, STALE, latched=True)),
        ("future", ANY),
        ("reordered", ANY),
        ("partial", stops(STATE_GAP_S, STALE, latched=True)),
        ("duplicate", ANY),
        ("lagging", ANY),
    ):
        yield Kind(f"state {fault}", relayed(("state",), fault), expected, 1.2)


def _cameras() -> Iterable[Kind]:
    for fault, expected in (
        ("off", ends_chunk(CAMERA_AGE_S, "{camera}")),
        ("stuck", ends_chunk(STUCK_CAMERA_S, "repeat|same picture|frozen")),
        ("garbage", ANY),  # a picture of noise is a picture
        ("wrong", ANY),
        ("slow", ANY),
        ("delayed", ends_chunk(CAMERA_AGE_S, "{camera}")),
        ("intermittent", ANY),
        ("old", ends_chunk(CAMERA_AGE_S, "{camera}")),
        ("future", ends_chunk(CAMERA_AGE_S, "{camera}")),
        ("size", ends_chunk(CAMERA_AGE_S, "{camera}")),
        ("encoding", ends_chunk(CAMERA_AGE_S, "{camera}|encoding")),
    ):
        whole = replace(expected, reason=expected.reason.replace("{camera}", "scene|wrist"))
        lasts_s = min(expected.stop_s, 0.9) + 0.6 if expected is ANY else expected.stop_s + 0.6
        yield Kind(f"camera {fault}", relayed(CAMERAS, fault), whole, lasts_s)


def _chunks() -> Iterable[Kind]:
    refused = "not finite|beyond the limit"
    for fault, expected in (
        ("off", ends_chunk()),
        ("stuck", ends_chunk(0.0, "not newer|was over|older")),
        ("garbage", ends_chunk(0.0, "beyond the limit|outside|tool|hand|elbow")),
        ("wrong", SAFE),
        ("slow", ANY),
        ("delayed", ANY),
        ("intermittent", ANY),
        ("nan", ends_chunk(0.0, refused)),
        ("huge", ends_chunk(0.0, refused)),
        ("late", ends_chunk(0.0, "was over|older|not newer")),
        ("future", ends_chunk(0.0, "in the future")),
        ("duplicate", ANY),
        ("out_of_order", ANY),
    ):
        lasts_s = 1.5 if expected in (ANY, SAFE) else expected.stop_s + 0.6
        yield Kind(f"policy {fault}", relayed(("chunk",), fault), expected, lasts_s)


def _humans() -> Iterable[Kind]:
    silent = "teleop target is"
    for fault, expected in (
        ("off", stops(HUMAN_AGE_S, silent)),
        ("stuck", ANY),
        ("garbage", stops(HUMAN_AGE_S, silent)),
        ("wrong", ANY),
        ("slow", stops(HUMAN_AGE_S, silent)),
        ("delayed", stops(HUMAN_AGE_S, silent)),
        ("intermittent", stops(HUMAN_AGE_S, silent)),
    ):
        yield Kind(f"teleop {fault}", relayed((TELEOP,), fault), expected, 1.2, human=True)

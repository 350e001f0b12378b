"""Faults of what a message says: each edits the deserialized message in place.

An edit is made anew for each injection, for it may remember; it returns the message to pass on.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from typing import Any

from arfm_ros.nodes.ros.convert import ns_to_time, time_to_ns

Edit = Callable[[Any], Any]
NS = 1_000_000_000
OFFSET_RAD = (0.3, 0.45)
HUGE = 1e30


def stuck(rng: random.Random) -> Edit:
    """Repeat the first message to the last bit, under new stamps."""
    kept: list[Any] = []

    def edit(message: Any) -> Any:
        if not kept:
            kept.append(message)
        kept[0].header.stamp = message.header.stamp
        return kept[0]

    return edit


def repeated(rng: random.Random) -> Edit:
    """Repeat the first message, stamp included."""
    kept: list[Any] = []

    def edit(message: Any) -> Any:
        kept.append(message)
        return kept[0]

    return edit


def shifted(seconds: float) -> Callable[[random.Random], Edit]:
    """Move the stamp by so many seconds."""

    def make(rng: random.Random) -> Edit:
        def edit(message: Any) -> Any:
            stamp_ns = time_to_ns(message.header.stamp) + round(seconds * NS)
            message.header.stamp = ns_to_time(stamp_ns)
            return message

        return edit

    return make


# -- pictures


def another_size(rng: random.Random) -> Edit:
    """Send a picture of ten by ten."""

    def edit(message: Any) -> Any:
        message.height = message.width = 10
        message.step = 30
        message.data = array("B", bytes(300))
        return message

    return edit


def another_encoding(rng: random.Random) -> Edit:
    """Name an encoding that is none of a colour picture."""

    def edit(message: Any) -> Any:
        message.encoding = "32FC1"
        return message

    return edit


def noise(rng: random.Random) -> Edit:
    """Fill the picture with noise."""

    def edit(message: Any) -> Any:
        message.data = array("B", rng.randbytes(len(message.data)))
        return message

    return edit


def negative(rng: random.Random) -> Edit:
    """Turn the picture upside down."""

    def edit(message: Any) -> Any:
        message.data = message.data[::-1]
        return message

    return edit


# -- joint states, and targets of the human


def not_a_number(rng: random.Random) -> Edit:
    """Put a NaN or an infinity into one joint."""
    joint, value = rng.randrange(7), rng.choice((float("nan"), float("inf"), -float("inf")))

    def edit(message: Any) -> Any:
        message.position[joint] = value
        return message

    return edit


def random_positions(rng: random.Random) -> Edit:
    """Send other positions every time."""

    def edit(message: Any) -> Any:
        message.position = array("d", [rng.uniform(-2.0, 2.0) for _ in message.position])
        return message

    return edit


def offset(rng: random.Random) -> Edit:
    """Shift one joint."""
    joint, by = rng.randrange(7), rng.choice((-1, 1)) * rng.uniform(*OFFSET_RAD)

    def edit(message: Any) -> Any:
        message.position[joint] += by
        return message

    return edit


def reordered(rng: random.Random) -> Edit:
    """Send the same joints in another order, names included."""
    order = list(range(7))
    rng.shuffle(order)

    def edit(message: Any) -> Any:
        for field in ("name", "position", "velocity", "effort"):
            values = getattr(message, field)
            setattr(message, field, [values[k] for k in order] if len(values) == 7 else values)
        return message

    return edit


def partial(rng: random.Random) -> Edit:
    """Leave one joint out."""
    joint = rng.randrange(7)

    def edit(message: Any) -> Any:
        for field in ("name", "position", "velocity", "effort"):
            values = list(getattr(message, field))
            setattr(message, field, values[:joint] + values[joint + 1 :])
        return message

    return edit


# -- chunks


def chunk_value(value: float) -> Callable[[random.Random], Edit]:
    """Put `value` into one action."""

    def make(rng: random.Random) -> Edit:
        def edit(message: Any) -> Any:
            point = rng.choice(message.points)
            point.positions[rng.randrange(len(point.positions))] = value
            return message

        return edit

    return make


def chunk_noise(rng: random.Random) -> Edit:
    """Send random actions."""

    def edit(message: Any) -> Any:
        for point in message.points:
            point.positions = array("d", [rng.uniform(-2.5, 2.5) for _ in point.positions])
        return message

    return edit


def chunk_offset(rng: random.Random) -> Edit:
    """Shift a whole chunk by as much as another policy's might differ."""
    by = [rng.uniform(-0.4, 0.4) for _ in range(7)]

    def edit(message: Any) -> Any:
        for point in message.points:
            moved = [q + d for q, d in zip(point.positions, by)]
            point.positions = array("d", [*moved, *point.positions[7:]])
        return message

    return edit


STAMPS = {"old": shifted(-1.0), "future": shifted(1.0)}
EDITS: dict[str, dict[str, Callable[[random.Random], Edit]]] = {
    "camera": {
        "stuck": stuck,
        "size": another_size,
        "encoding": another_encoding,
        "garbage": noise,
        "wrong": negative,
        **STAMPS,
    },
    "state": {
        "stuck": stuck,
        "nan": not_a_number,
        "garbage": random_positions,
        "wrong": offset,
        "reordered": reordered,
        "partial": partial,
        **STAMPS,
    },
    "chunk": {
        "stuck": repeated,
        "nan": chunk_value(float("nan")),
        "huge": chunk_value(HUGE),
        "garbage": chunk_noise,
        "wrong": chunk_offset,
        "late": shifted(-2.0),
        "future": shifted(2.0),
    },
    "teleop": {"stuck": stuck, "garbage": not_a_number, "wrong": offset},
}

"""Whether a trial kept the promises: limits, the stop, its reason, the way past the last target."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any

import numpy as np

from arfm_ros.faults import bounds
from arfm_ros.faults.expected import DISPLACEMENT_RAD, REST_S, Expected, Kind
from arfm_ros.faults.record import Record, Word

DRIVEN = ("policy", "human")
RESTING_RAD_S = 0.05
RESTS_S = 0.05  # for so long, to count as at rest
GAP_S = 0.1  # without a command: the stream has ended
MS = 1e3


@dataclass(frozen=True, slots=True)
class Marks:
    """When things happened in a trial, in steady seconds, and how it went on."""

    seen_s: float  # the fault could be observed
    ended_s: float  # it was over
    over_s: float  # recovered, or given up
    recovered: str  # "by itself", the operator's step, '' for never
    latch_held: bool = True  # nothing drove before the operator's step


@dataclass(slots=True)
class Row:
    """One trial, judged."""

    kind: str
    seed: int
    reaction: str = ""
    reason: str = ""
    stop_ms: float | None = None  # from what can be observed to the begin of the stop
    rest_ms: float | None = None  # from there to the arm at rest
    reason_ms: float | None = None
    command_velocity: float = 0.0  # relative to the limits, as the next three
    command_acceleration: float = 0.0
    arm_velocity: float = 0.0
    arm_acceleration: float = 0.0
    travel_rad: float = 0.0  # past the last target where the stream ended, else since the stop
    recovered: str = ""
    recovery_s: float = 0.0
    violations: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def judge(kind: Kind, seed: int, record: Record, marks: Marks) -> Row:
    """Judge one trial."""
    row = Row(kind.name, seed, recovered=marks.recovered)
    row.recovery_s = round(marks.over_s - marks.ended_s, 3)
    stamped = kind.variant != "clock"
    row.violations += _limits(row, record, stamped)
    stop_s = _last_target(record, marks) if kind.expected.ends else _stop(record, marks)
    row.reaction = _reaction(record, marks)
    if stop_s is not None:
        row.stop_ms = round((stop_s - marks.seen_s) * MS, 1)
        row.travel_rad = round(_travel(kind.expected, record, stop_s, marks), 4)
        rest_s = _rest(record, stop_s)
        row.rest_ms = None if rest_s is None else round((rest_s - stop_s) * MS, 1)
    expected = _conditional(kind, record, marks)
    row.violations += _stopping(row, expected, stop_s, marks)
    row.violations += _saying(row, expected, record, stop_s, marks)
    row.violations += _recovery(expected, marks)
    return row


def _limits(row: Row, record: Record, stamped: bool) -> Iterator[str]:
    command = bounds.of_command(record.command, record.target, record.arm, stamped)
    arm = bounds.of_arm(record.arm, stamped)
    row.command_velocity = round(max(command.velocity, command.step), 4)
    row.command_acceleration = round(command.acceleration, 4)
    row.arm_velocity, row.arm_acceleration = round(arm.velocity, 4), round(arm.acceleration, 4)
    for who, peaks in (("command", command), ("arm", arm)):
        if not peaks.finite:
            yield f"{who} is not finite"
        if peaks.outside_rad > 1e-6:
            yield f"{who} is {peaks.outside_rad:.4f} rad beyond a position limit"
        for what in ("velocity", "step", "acceleration"):
            ratio = getattr(peaks, what)
            if ratio > 1.0 + bounds.ROUNDING:
                yield f"{who} {what} is {ratio:.3f} of the limit"


def _driven_at(record: Record, at_s: float) -> bool:
    before = [word.text for word in record.authority if word.at_s <= at_s]
    return not before or before[-1] in DRIVEN  # a trial begins in motion


def _stop(record: Record, marks: Marks) -> float | None:
    """When the arbiter stopped driving after the fault could be observed; None: it went on."""
    if not _driven_at(record, marks.seen_s):
        return marks.seen_s
    for word in record.authority:
        if marks.seen_s < word.at_s <= marks.over_s and word.text not in DRIVEN:
            return word.at_s
    return None


def _last_target(record: Record, marks: Marks) -> float | None:
    """When the stream of commands ended; None where it has no gap."""
    times = record.target.received_s
    gaps = np.diff(np.append(times, inf))
    ends = times[(gaps > GAP_S) & (times > marks.seen_s - GAP_S)]
    return float(ends[0]) if len(ends) else None


def _rest(record: Record, stop_s: float) -> float | None:
    arm = record.arm
    slow = np.abs(arm.velocity).max(axis=1, initial=0.0) < RESTING_RAD_S
    for k in np.flatnonzero(slow & (arm.received_s >= stop_s)):
        at_s = arm.received_s[k]
        inside = (arm.received_s >= at_s) & (arm.received_s <= at_s + RESTS_S)
        if slow[inside].all():
            return float(at_s)
    return None


def _travel(expected: Expected, record: Record, stop_s: float, marks: Marks) -> float:
    end_s = marks.ended_s if expected.ends else min(marks.ended_s, stop_s + 1.0)
    arm = record.arm.between(stop_s, max(end_s, stop_s))
    before = record.target.received_s <= stop_s + 1e-6
    if not len(arm.received_s) or not before.any():
        return 0.0
    if not expected.ends:
        return float(np.abs(arm.position - arm.position[0]).max())
    last = int(np.flatnonzero(before)[-1])
    next_s = record.target.received_s[last + 1 :]
    arm = arm.between(stop_s, float(next_s[0]) if len(next_s) else end_s)
    if not len(arm.received_s):
        return 0.0
    way = np.sign(record.target.velocity[last])
    past = (arm.position - record.target.position[last]) * np.where(way == 0.0, 1.0, way)
    still = np.abs(past) - np.abs(past[0])  # an axis that was not sent anywhere
    return max(0.0, float(np.where(way == 0.0, still, past).max()))


def _reaction(record: Record, marks: Marks) -> str:
    said = [w.text for w in record.authority if marks.seen_s < w.at_s <= marks.ended_s]
    short = [text for k, text in enumerate(said) if k == 0 or said[k - 1] != text]
    return " ".join(short[:4]) + (" ..." if len(short) > 4 else "") or "goes on"


def _conditional(kind: Kind, record: Record, marks: Marks) -> Expected:
    """Return the promise; where a watch needs the arm to be moved, as far as it was moved."""
    from arfm_ros.faults.watched import watched

    return watched(kind, record, marks.seen_s, marks.ended_s)


def _stopping(row: Row, expected: Expected, stop_s: float | None, marks: Marks) -> Iterator[str]:
    if expected.stop_s < inf and marks.ended_s - marks.seen_s >= expected.stop_s:
        if row.stop_ms is None or row.stop_ms > expected.stop_s * MS:
            after = "never" if row.stop_ms is None else f"after {row.stop_ms:.0f} ms"
            yield f"stop begun {after}, needs {expected.stop_s * MS:.0f} ms"
    if stop_s is None:
        return
    needs = expected.stop_s < inf or expected.ends
    if needs and expected.rests and marks.ended_s - stop_s >= REST_S:
        if row.rest_ms is None or row.rest_ms > REST_S * MS:
            after = "never" if row.rest_ms is None else f"after {row.rest_ms:.0f} ms"
            yield f"arm at rest {after}, needs {REST_S * MS:.0f} ms"
    if expected.ends and row.travel_rad > DISPLACEMENT_RAD:
        yield f"arm went {row.travel_rad:.3f} rad past the last target"


def _saying(
    row: Row, expected: Expected, record: Record, stop_s: float | None, marks: Marks
) -> Iterator[str]:
    if not expected.reason:
        row.reason = _words_after(record.health, marks)
        return
    said = _first(expected.reason, (*record.health, *record.results), marks.seen_s)
    if said is None:
        yield f"no word of /{expected.reason}/"
        return
    row.reason, row.reason_ms = said.text, round((said.at_s - marks.seen_s) * MS, 1)
    begin_s = marks.ended_s if expected.ends else marks.seen_s + min(expected.stop_s, 10.0)
    latest_s = max(begin_s, stop_s or 0.0) + expected.reason_s
    if said.at_s > latest_s:
        late = (said.at_s - latest_s + expected.reason_s) * MS
        yield f"reason published {late:.0f} ms late, needs {expected.reason_s * MS:.0f} ms"


def _first(pattern: str, words: Sequence[Word], from_s: float) -> Word | None:
    for word in sorted(words, key=lambda word: word.at_s):
        for text in (word.text, word.values.get("reason", ""), word.values.get("waiting_for", "")):
            if word.at_s >= from_s and re.search(pattern, text):
                return Word(word.at_s, text, word.node)
    return None


def _words_after(health: Sequence[Word], marks: Marks) -> str:
    for word in health:
        if marks.seen_s <= word.at_s <= marks.over_s and word.level and word.node != "sim_node":
            return word.text
    return ""


def _recovery(expected: Expected, marks: Marks) -> Iterator[str]:
    if not marks.recovered:
        yield "does not recover"
    elif expected.by_itself and marks.recovered != "by itself":
        yield f"recovers only by {marks.recovered}, needs to by itself"
    if expected.latched and not marks.latch_held:
        yield "went on by itself, needs to be latched"

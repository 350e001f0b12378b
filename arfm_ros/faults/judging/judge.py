"""Whether a trial kept the promises: limits, the stop, its reason, the recovery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import Any

import numpy as np

from arfm_ros.faults.judging import bounds, course
from arfm_ros.faults.judging.course import Marks
from arfm_ros.faults.judging.expected import DISPLACEMENT_RAD, REST_S, Expected, Kind
from arfm_ros.faults.judging.record import Record
from arfm_ros.faults.judging.replay import LATE_S, SETTLES_S, replay
from arfm_ros.faults.judging.watched import seen_at, watched

MS = 1e3


@dataclass(slots=True)
class Row:
    """One trial, judged."""

    kind: str
    seed: int
    reaction: str = ""
    reason: str = ""
    stop_ms: float | None = None  # from what can be observed to the begin of the stop
    rest_ms: float | None = None  # from when the stop was told to the arm at rest
    reason_ms: float | None = None
    command_velocity: float = 0.0  # relative to the limits, as all up to `travel_rad`
    command_acceleration: float = 0.0
    arm_velocity: float = 0.0  # while the robot was in time and touched nothing
    arm_acceleration: float = 0.0
    arm_velocity_all: float = 0.0  # at every sample
    arm_acceleration_all: float = 0.0
    arm_judged: float = 0.0  # part of the samples that the former two are of
    robot_late_ms: float = 0.0  # how late its states came at worst: what the machine did
    replayed: bool = False  # the robot was too late: an arm in time was judged, see `replay`
    tick_gap_ms: float = 0.0  # the largest time between two commands of the trial
    travel_rad: float = 0.0  # past the last target where the stream ended, else since the stop
    recovered: str = ""
    recovery_s: float = 0.0
    last_words: list[str] = field(default_factory=list)  # of every node, where it did not recover
    before: list[str] = field(default_factory=list)  # stops that came before the fault
    violations: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def judge(kind: Kind, seed: int, record: Record, marks: Marks) -> Row:
    """Judge one trial."""
    marks = replace(marks, seen_s=seen_at(kind, record, marks.seen_s))
    expected = watched(kind, record, marks.seen_s, marks.ended_s)
    row = Row(kind.name, seed, recovered=marks.recovered)
    row.recovery_s = round(marks.over_s - marks.ended_s, 3)
    row.reaction = course.reaction(record, marks)
    if not marks.recovered:
        row.last_words = [
            f"{w.node}: {w.text}" for w in {w.node: w for w in record.health}.values()
        ]
    record = _in_time(row, kind, record, marks)
    row.violations += _limits(row, record, kind.variant != "clock")
    row.violations += _stopping(row, expected, record, marks)
    row.violations += _saying(row, expected, record, marks)
    row.violations += _recovery(expected, record, marks)
    return row


def _in_time(row: Row, kind: Kind, record: Record, marks: Marks) -> Record:
    """Return the record; where the simulated robot was late, with the arm that would not be."""
    if kind.variant == "clock":  # no stamp tells what was late, nor when a command was meant
        even = replace(record.target, stamp_s=record.target.sent_s)
        return _replayed(row, replace(record, target=even), marks)
    late_s = float(bounds.lateness_s(record.arm).max(initial=0.0))
    gaps = np.diff(record.command.stamp_s)
    row.robot_late_ms, row.tick_gap_ms = round(MS * late_s, 1), round(MS * _largest(gaps), 1)
    whole = bounds.of_arm(record.arm, True)
    row.arm_velocity_all = round(whole.velocity, 4)
    row.arm_acceleration_all = round(whole.acceleration, 4)
    contested = bool(record.intruder_s)  # then the controller ignores what was sent
    if late_s < LATE_S or contested or not whole.finite:
        return record
    return _replayed(row, record, marks)


def _replayed(row: Row, record: Record, marks: Marks) -> Record:
    if len(record.target.sent_s) < 2 or not np.isfinite(record.target.position).all():
        return record
    row.replayed = True
    return replace(record, arm=replay(record, marks.ended_s))


def _largest(values: Any) -> float:
    return float(values.max(initial=0.0))


def _limits(row: Row, record: Record, stamped: bool) -> Iterator[str]:
    command = bounds.of_command(record.command, record.target, record.arm, stamped)
    fit = bounds.judged(record.arm, record.target, stamped)
    if row.replayed:
        fit = bounds.untouched(record.arm)
        fit &= record.arm.sent_s > record.arm.sent_s[:1].sum() + SETTLES_S
    fit &= bounds.uncontested(record.arm, record.intruder_s)
    arm, whole = bounds.of_arm(record.arm, stamped, fit), bounds.of_arm(record.arm, stamped)
    row.command_velocity = round(max(command.velocity, command.step), 4)
    row.command_acceleration = round(command.acceleration, 4)
    row.arm_velocity, row.arm_acceleration = round(arm.velocity, 4), round(arm.acceleration, 4)
    row.arm_judged = round(float(fit.mean()), 3) if len(fit) else 0.0
    arm = replace(arm, outside_rad=whole.outside_rad, finite=whole.finite)
    for who, peaks in (("command", command), ("arm", arm)):
        if not peaks.finite:
            yield f"{who} is not finite"
        if peaks.outside_rad > 1e-6:
            yield f"{who} is {peaks.outside_rad:.4f} rad beyond a position limit"
        for what in ("velocity", "step", "acceleration"):
            ratio = getattr(peaks, what)
            if ratio > 1.0 + bounds.ROUNDING:
                yield f"{who} {what} is {ratio:.3f} of the limit"


def _stopping(row: Row, expected: Expected, record: Record, marks: Marks) -> Iterator[str]:
    stop_s = course.stop(expected, record, marks)
    lasted = marks.ended_s - marks.seen_s >= expected.stop_s
    if stop_s is not None:
        begun_s = stop_s if expected.ends else course.begun(record, stop_s, marks)
        row.stop_ms = round((begun_s - marks.seen_s) * MS, 1)
        row.travel_rad = round(course.travel(expected, record, stop_s, marks), 4)
        rest_s = course.rest(record, stop_s)
        row.rest_ms = None if rest_s is None else round((rest_s - stop_s) * MS, 1)
    if lasted and (row.stop_ms is None or row.stop_ms > expected.stop_s * MS):
        after = "never" if row.stop_ms is None else f"after {row.stop_ms:.0f} ms"
        yield f"stop begun {after}, needs {expected.stop_s * MS:.0f} ms"
    if stop_s is None:
        return
    if _has_to_rest(expected, record, stop_s, marks):
        if row.rest_ms is None or row.rest_ms > REST_S * MS:
            after = "never" if row.rest_ms is None else f"after {row.rest_ms:.0f} ms"
            yield f"arm at rest {after}, needs {REST_S * MS:.0f} ms"
    if expected.ends and row.travel_rad > DISPLACEMENT_RAD:
        yield f"arm went {row.travel_rad:.3f} rad past the last target"


def _has_to_rest(expected: Expected, record: Record, stop_s: float, marks: Marks) -> bool:
    """Whether it stopped for good: what is seldom, say, lets the arm go on in between."""
    if expected.ends:
        return course.silence_s(record, stop_s) >= REST_S and marks.ended_s - stop_s >= REST_S
    stays = not course.driven_within(record, stop_s, stop_s + REST_S)
    return expected.stop_s < inf and stays and marks.ended_s - stop_s >= REST_S


def _saying(row: Row, expected: Expected, record: Record, marks: Marks) -> Iterator[str]:
    if not expected.reason:
        row.reason = course.complaint(record.health, marks)
        return
    said = course.first_word(expected.reason, (*record.health, *record.results), marks.seen_s)
    if said is None:
        yield f"no word of /{expected.reason}/"
        return
    row.reason, row.reason_ms = said.text, round((said.at_s - marks.seen_s) * MS, 1)
    begin_s = marks.ended_s if expected.ends else marks.seen_s + min(expected.stop_s, 10.0)
    told_s = course.stop(expected, record, marks) or marks.seen_s
    late_s = said.at_s - max(begin_s, told_s)
    if late_s > expected.reason_s:
        yield f"reason published {late_s * MS:.0f} ms late, needs {expected.reason_s * MS:.0f} ms"


def _recovery(expected: Expected, record: Record, marks: Marks) -> Iterator[str]:
    if not marks.recovered:
        yield "does not recover"
    elif expected.by_itself and marks.recovered != "by itself":
        yield f"recovers only by {marks.recovered}, needs to by itself"
    if expected.latched and course.driven_at(record, marks.asked_s):
        yield "went on by itself, needs to be latched"

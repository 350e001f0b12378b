"""The course of a trial: when the arbiter stopped, when the arm rested, how far it went."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from arfm_ros.faults.judging.expected import REST_S, Expected
from arfm_ros.faults.judging.record import Record, Word

DRIVEN = ("policy", "human")
RESTING_RAD_S = 0.05
RISES_RAD_S = 1e-3  # from one command to the next, beyond rounding
RESTS_S = 0.05  # for so long, to count as at rest
GAP_S = 0.1  # without a command: the stream has ended
SHOWN = 4
LATCHED = 2  # level of a diagnostic status


@dataclass(frozen=True, slots=True)
class Marks:
    """When things happened in a trial, in steady seconds, and how it went on."""

    seen_s: float  # the fault could be observed
    ended_s: float  # it was over
    over_s: float  # recovered, or given up
    recovered: str  # "by itself", the operator's step, '' for never
    asked_s: float = 0.0  # the operator's step, or whether it went on before


def driven_at(record: Record, at_s: float) -> bool:
    """Return whether policy or human drove; a trial begins in motion."""
    before = [word.text for word in record.authority if word.at_s <= at_s]
    return not before or before[-1] in DRIVEN


def driven_within(record: Record, begin_s: float, end_s: float) -> bool:
    """Return whether driving began again in begin..end."""
    return any(begin_s < word.at_s <= end_s and word.text in DRIVEN for word in record.authority)


def stop(expected: Expected, record: Record, marks: Marks) -> float | None:
    """Return when the stop began after the fault could be observed; None: it went on.

    Where the stream of commands ends, that is its last one. Where the chunk in force is played
    to its end, hand-overs on the way do not count: the last stop by the deadline does.
    """
    if expected.ends:
        return _last_target(record, marks)
    stops = [] if driven_at(record, marks.seen_s) else [marks.seen_s]
    driving = not stops
    for word in record.authority:
        if marks.seen_s < word.at_s <= marks.ended_s:
            if driving and word.text not in DRIVEN:
                stops.append(word.at_s)
            driving = word.text in DRIVEN
    if not expected.at_chunk_end or not stops:
        return stops[0] if stops else None
    deadline_s = marks.seen_s + expected.stop_s
    in_time = [at_s for at_s in stops if at_s <= deadline_s]
    kept = in_time and not driven_within(record, in_time[-1], deadline_s)
    return in_time[-1] if kept else stops[-1]


def begun(record: Record, stop_s: float, marks: Marks) -> float:
    """Return when the stop that was told at `stop_s` began in the commands themselves.

    What is told comes later. The stop is where the speed falls last, to rest within the promised
    time and without rising again before it is told; without such a fall it is what was told.
    """
    command = record.command.between(marks.seen_s, stop_s)
    speed = np.abs(command.velocity).max(axis=1, initial=0.0)
    if not len(speed) or not np.isfinite(speed).all():
        return stop_s
    rises = np.flatnonzero(np.diff(speed) > RISES_RAD_S)
    first = int(rises[-1]) + 1 if len(rises) else 0
    first += int(np.flatnonzero(speed[first:] >= speed[first:].max() - RISES_RAD_S)[-1])
    begun_s = float(command.sent_s[first])
    after = record.command.between(begun_s, begun_s + REST_S)
    rests = bool((np.abs(after.velocity).max(axis=1, initial=0.0) < RESTING_RAD_S).any())
    return begun_s if rests else stop_s


def _last_target(record: Record, marks: Marks) -> float | None:
    times = record.target.sent_s
    gaps = np.diff(np.append(times, inf))
    ends = times[(gaps > GAP_S) & (times > marks.seen_s - GAP_S)]
    return float(ends[0]) if len(ends) else None


def silence_s(record: Record, from_s: float) -> float:
    """Return how long no command came after the one at `from_s`."""
    later = record.target.sent_s[record.target.sent_s > from_s + 1e-6]
    return float(later[0]) - from_s if len(later) else inf


def rest(record: Record, stop_s: float) -> float | None:
    """Return when the arm was at rest after `stop_s`; None for never."""
    arm = record.arm
    slow = np.abs(arm.velocity).max(axis=1, initial=0.0) < RESTING_RAD_S
    for k in np.flatnonzero(slow & (arm.sent_s >= stop_s)):
        at_s = arm.sent_s[k]
        inside = (arm.sent_s >= at_s) & (arm.sent_s <= at_s + RESTS_S)
        if slow[inside].all():
            return float(at_s)
    return None


def travel(expected: Expected, record: Record, stop_s: float, marks: Marks) -> float:
    """Return how far a joint went: past the last target, or since the stop began."""
    if expected.ends:
        return _past(record, stop_s)
    arm = record.arm.between(stop_s, min(marks.ended_s, stop_s + 1.0))
    if not len(arm.sent_s):
        return 0.0
    return float(np.abs(arm.position - arm.position[0]).max())


def _past(record: Record, stop_s: float) -> float:
    """How far the arm went beyond the last target, in the direction of its velocity."""
    target = record.target
    last = int(np.searchsorted(target.sent_s, stop_s + 1e-6)) - 1
    arm = record.arm.between(stop_s, stop_s + silence_s(record, stop_s))
    if last < 0 or not len(arm.sent_s):
        return 0.0
    way = np.sign(target.velocity[last])
    from_target = arm.position - target.position[last]
    still = np.abs(from_target) - np.abs(from_target[0])  # an axis that was sent nowhere
    return max(0.0, float(np.where(way == 0.0, still, from_target * way).max()))


def stopped_before(record: Record, marks: Marks) -> str:
    """Return why the arbiter had latched a hold before the fault could be observed."""
    if driven_at(record, marks.seen_s):
        return ""
    said = [w for w in record.health if w.at_s <= marks.seen_s and w.node == "arbiter_node"]
    return said[-1].text if said and said[-1].level >= LATCHED else ""


def reaction(record: Record, marks: Marks) -> str:
    """Return the authorities while the fault lasted."""
    said = [w.text for w in record.authority if marks.seen_s < w.at_s <= marks.ended_s]
    short = [text for k, text in enumerate(said) if k == 0 or said[k - 1] != text]
    return " ".join(short[:SHOWN]) + (" ..." if len(short) > SHOWN else "") or "goes on"


def first_word(pattern: str, words: Sequence[Word], from_s: float) -> Word | None:
    """Return the first word that matches, its text only."""
    for word in sorted(words, key=lambda word: word.at_s):
        for text in (word.text, word.values.get("reason", ""), word.values.get("waiting_for", "")):
            if word.at_s >= from_s and re.search(pattern, text):
                return Word(word.at_s, text, word.node)
    return None


def complaint(health: Sequence[Word], marks: Marks) -> str:
    """Return the first complaint of policy or arbiter, '' without one."""
    for word in health:
        if marks.seen_s <= word.at_s <= marks.over_s and word.level and word.node != "sim_node":
            return word.text
    return ""

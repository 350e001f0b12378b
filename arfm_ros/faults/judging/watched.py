"""When a fault can be observed where that is not the moment of the injection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import numpy as np

from arfm_ros.faults.judging.expected import REACTION_S, SAFE, Expected, Kind
from arfm_ros.faults.judging.record import Motion, Record

SPOKEN_S = 0.05  # from sending to noting the time of it
FROZEN_S, FROZEN_RAD = 0.2, 0.05  # as `core.watch` has it
LATCHES_S = 0.45  # an older state is latched; the relay on a busy machine adds to a delay
MOVED_RAD = 0.1 + 0.02  # the latter is the largest step, which does not count
MOVING_S = 1.0  # the promise allows the arm so long to go that far


def seen_at(kind: Kind, record: Record, seen_s: float) -> float:
    """Return when `kind` could be observed at all.

    Nobody hears a publisher before it is discovered, and a machine may put the sender aside: the
    first message at the witness counts.
    """
    heard: dict[str, Sequence[float]] = {
        "second commander": record.intruder_s,
        "e-stop volatile": record.estop_s,
        "e-stop latched": record.estop_s,
        "e-stop flapping": record.estop_s,
    }
    later = [at_s for at_s in heard.get(kind.name, ()) if at_s >= seen_s - SPOKEN_S]
    return later[0] if later else seen_s


def watched(kind: Kind, record: Record, seen_s: float, ended_s: float) -> Expected:
    """Return the promise of `kind` in the light of what was commanded.

    A frozen joint state can be told from an arm at rest once the command has moved away from it,
    a frozen camera once the arm has moved. Where the suite's own relay let joint states grow so
    old that they are latched, that is right.
    """
    if kind.expected.by_itself and oldest_s(record, seen_s) > LATCHES_S:
        return replace(kind.expected, by_itself=False)
    if kind.name == "camera stuck":
        moves_s = _moves(record.arm.between(seen_s, ended_s), MOVED_RAD)
        return kind.expected if moves_s <= seen_s + MOVING_S else SAFE
    if kind.name != "state stuck":
        return kind.expected
    command = record.command.between(seen_s, ended_s)
    if not len(command.sent_s):
        return SAFE
    moved = np.abs(command.position - command.position[0]).max(axis=1) > FROZEN_RAD
    away = np.flatnonzero(moved & (command.sent_s - seen_s > FROZEN_S))
    if not len(away):
        return SAFE
    stop_s = float(command.sent_s[away[0]]) - seen_s + REACTION_S
    pattern = "repeat to the last bit|does not follow|not move"
    return replace(kind.expected, stop_s=stop_s, reason=pattern, latched=True)


def oldest_s(record: Record, since_s: float) -> float:
    """Return the largest age of the newest joint state that was passed on, from `since_s` on.

    The stamps' offset is that of the true states.
    """
    if len(record.passed) < 2 or not len(record.arm.came_s):
        return 0.0
    offset_s = float(np.percentile(record.arm.came_s - record.arm.stamp_s, 5))
    came_s, stamp_s = np.array(record.passed).T
    age_s = came_s[1:] - np.maximum.accumulate(stamp_s)[:-1] - offset_s
    return float(age_s[came_s[1:] > since_s].max(initial=0.0))


def _moves(arm: Motion, by_rad: float) -> float:
    """Return when a joint was `by_rad` from where it began, inf for never."""
    if not len(arm.sent_s):
        return inf
    away = np.abs(arm.position - arm.position[0]).max(axis=1) > by_rad
    return float(arm.sent_s[np.argmax(away)]) if away.any() else inf

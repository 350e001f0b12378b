"""What has to follow a fault; times in seconds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any

REACTION_S = 0.1  # from what can be observed to the begin of the stop
REST_S = 0.5  # from there to an arm at rest
REASON_S = 0.2  # until the reason is published
DISPLACEMENT_RAD = 0.1  # past the last target when the sender dies
# Thresholds of the stack's own watches, by which a fault can be observed at all
STATE_GAP_S, HUMAN_AGE_S = 0.13, 0.2  # with three late ticks
CAMERA_AGE_S = 0.3 + 0.1  # and an inference that is under way
CHUNK_S = 0.8 + 0.2  # what a chunk lasts, with its start from rest
DIAGNOSTICS_S = 1.1  # a node that has no latch reports every second


@dataclass(frozen=True, slots=True)
class Expected:
    """The promise for one kind of fault.

    `stop_s` counts from the moment when the fault can be observed to the begin of the stop, inf
    where the right reaction is to go on or where nobody can know better. Where the stream of
    commands `ends`, the arm has to rest near its last target. `by_itself`: it goes on without an
    operator.
    """

    stop_s: float = inf
    at_chunk_end: bool = False  # the stop is the end of the chunk in force
    reason: str = ""  # a pattern of what is published, '' where nothing has to be said
    reason_s: float = REASON_S  # from the begin of the stop at the latest, or from the fault's end
    latched: bool = False
    ends: bool = False
    by_itself: bool = True
    recovers_s: float = 6.0


ANY = Expected()
SAFE = Expected(by_itself=False)  # whatever it does is right, as long as it is safe


def stops(after_s: float = 0.0, reason: str = "", latched: bool = False) -> Expected:
    """Return the promise to stop by the time a threshold has passed, and to say why."""
    return Expected(after_s + REACTION_S, reason=reason, latched=latched, by_itself=not latched)


def ends_chunk(after_s: float = 0.0, reason: str = "", recovers_s: float = 6.0) -> Expected:
    """Return the promise to come to rest at the end of the chunk in force."""
    return Expected(
        after_s + CHUNK_S + REACTION_S,
        at_chunk_end=True,
        reason=reason,
        reason_s=DIAGNOSTICS_S,
        recovers_s=recovers_s,
    )


@dataclass(slots=True)
class Ground:
    """What an injection has at hand; `stack` and `operator` are of this package."""

    stack: Any
    operator: Any
    rng: Random


Injection = Callable[[Ground], AbstractContextManager[float]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: how it begins and ends, and what has to follow.

    `inject` returns a context that gives the steady time in seconds at which it can be observed,
    and whose end ends the fault.
    """

    name: str
    inject: Injection
    expected: Expected
    lasts_s: float = 1.0
    human: bool = False  # a human drives when it comes
    variant: str = "plain"  # of the stack
    sender: str = field(default="")  # node whose end is the fault, '' for none

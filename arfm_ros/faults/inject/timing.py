"""Faults of when a message comes: none, late, seldom, twice, in another order.

A fault takes a message and the steady time and returns what is passed on instead: pairs of
(seconds to wait, message). It is made anew for each injection, for it may remember.
"""

from __future__ import annotations

import random
from collections.abc import Callable

Passed = list[tuple[float, bytes]]
Fault = Callable[[bytes, float], Passed]

DELAY_S, SLOW_HZ, PERIOD_S, LOSS = 0.3, 3.0, 0.5, 0.3


def off(rng: random.Random) -> Fault:
    """Pass nothing on."""
    return lambda message, now_s: []


def delayed(rng: random.Random) -> Fault:
    """Pass everything on late."""
    return lambda message, now_s: [(DELAY_S, message)]


def delayed_a_little(rng: random.Random) -> Fault:
    """Pass everything on as late as a bad network does."""
    return lambda message, now_s: [(rng.uniform(0.05, 0.12), message)]


def lossy(rng: random.Random) -> Fault:
    """Lose a part of the messages at random."""
    return lambda message, now_s: [] if rng.random() < LOSS else [(0.0, message)]


def duplicate(rng: random.Random) -> Fault:
    """Pass everything on twice."""
    return lambda message, now_s: [(0.0, message), (0.004, message)]


def slow(rng: random.Random) -> Fault:
    """Pass a few messages a second on."""
    due_s = [0.0]

    def fault(message: bytes, now_s: float) -> Passed:
        due_s[0] = due_s[0] or now_s + 1.0 / SLOW_HZ
        if now_s < due_s[0]:
            return []
        due_s[0] = now_s + 1.0 / SLOW_HZ
        return [(0.0, message)]

    return fault


def intermittent(rng: random.Random) -> Fault:
    """Pass nothing on in the first half of every period."""
    begin_s: list[float] = []

    def fault(message: bytes, now_s: float) -> Passed:
        if not begin_s:
            begin_s.append(now_s)
        into_s = (now_s - begin_s[0]) % PERIOD_S
        return [] if into_s < PERIOD_S / 2 else [(0.0, message)]

    return fault


def out_of_order(rng: random.Random) -> Fault:
    """Swap every message with the next one."""
    kept: list[bytes] = []

    def fault(message: bytes, now_s: float) -> Passed:
        if not kept:
            kept.append(message)
            return []
        return [(0.0, message), (0.001, kept.pop())]

    return fault


FAULTS: dict[str, Callable[[random.Random], Fault]] = {
    "off": off,
    "delayed": delayed,
    "lagging": delayed_a_little,
    "lossy": lossy,
    "duplicate": duplicate,
    "slow": slow,
    "intermittent": intermittent,
    "out_of_order": out_of_order,
}

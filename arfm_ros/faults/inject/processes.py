"""Faults of processes and of the machine: killed, stopped, asked to end, starved, misclocked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from arfm_ros.faults.judging.expected import (
    ANY,
    SAFE,
    Expected,
    Ground,
    Injection,
    Kind,
    ends_chunk,
)

ARBITER, POLICY = "arbiter_node", "policy_node"
NS = 1e9
STARTS_S = 20.0  # a node that has to start again
END_S = 6.0
STOPPED = {"short": (0.02, 0.08), "middle": (0.15, 0.4), "long": (0.6, 3.0)}
LOOP = "while True: pass"


def ended(node: str, number: int) -> Injection:
    """Return the injection of a signal that ends `node`, which is started again afterwards."""

    @contextmanager
    def inject(ground: Ground) -> Generator[float, None, None]:
        at_s = ground.stack.signal(node, number) / NS
        try:
            yield at_s
        finally:
            ground.stack.wait_end(node, END_S)
            if node == ARBITER:
                ground.operator.forget()
            ground.stack.restart(node)

    return inject


def stopped(node: str, span_s: tuple[float, float]) -> Injection:
    """Return the injection of a pause of `node` by SIGSTOP and SIGCONT."""

    @contextmanager
    def inject(ground: Ground) -> Generator[float, None, None]:
        begin_ns = ground.stack.signal(node, signal.SIGSTOP)
        time.sleep(ground.rng.uniform(*span_s))  # the pause is the fault
        ground.stack.signal(node, signal.SIGCONT)
        yield begin_ns / NS

    return inject


def starved(ground: Ground) -> Generator[float, None, None]:
    """Compute on every core twice over."""
    count = 2 * (os.cpu_count() or 1)
    loops = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(count)]
    try:
        yield time.monotonic()
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def clock_stepped(span_s: tuple[float, float]) -> Injection:
    """Return the injection of a step of the ROS time of every node, and back at its end."""

    @contextmanager
    def inject(ground: Ground) -> Generator[float, None, None]:
        step_s = ground.rng.uniform(*span_s)
        ground.stack.relay.order(clock_step=step_s)
        try:
            yield time.monotonic()
        finally:
            ground.stack.relay.order(clock_step=-step_s)

    return inject


@contextmanager
def nothing(ground: Ground) -> Generator[float, None, None]:
    """Break nothing: what the stack does anyway, to compare with."""
    yield time.monotonic()


def kinds() -> Iterable[Kind]:
    """Return all kinds of this family."""
    yield Kind("nothing", nothing, ANY, 2.0)
    dies = Expected(ends=True, by_itself=False, recovers_s=STARTS_S)
    braked = Expected(0.1, reason="going idle", by_itself=False, recovers_s=STARTS_S)
    for number, expected in ((signal.SIGKILL, dies), (signal.SIGTERM, braked)):
        name = signal.Signals(number).name
        yield Kind(f"{name} arbiter", ended(ARBITER, number), expected, 1.0, sender=ARBITER)
        yield Kind(f"{name} policy", ended(POLICY, number), ends_chunk(recovers_s=STARTS_S), 1.7)
    silent = "the arbiter itself was silent"
    for length, expected in (
        ("short", ANY),
        ("middle", Expected(ends=True)),
        ("long", Expected(ends=True, reason=silent, latched=True, by_itself=False)),
    ):
        span_s = STOPPED[length]
        yield Kind(f"SIGSTOP arbiter {length}", stopped(ARBITER, span_s), expected, 0.5)
    yield Kind("SIGSTOP policy", stopped(POLICY, (0.05, 3.0)), ANY, 0.3)
    yield Kind("CPU starvation", contextmanager(starved), SAFE, 2.0)
    for name, span_s in (
        ("clock forward", (0.3, 5.0)),
        ("clock back", (-5.0, -0.3)),
        ("clock back an hour", (-3600.0, -3500.0)),
    ):
        yield Kind(name, clock_stepped(span_s), SAFE, 2.0, variant="clock")

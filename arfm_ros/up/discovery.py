"""Measure the lease of the DDS profile: how long a killed process stays, and whether a living one
is taken for dead while every core computes.

Several peers publish one topic and read it. Whenever a reader loses a publisher that still lives,
that is a false loss; in a stack it would look like a node that died.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import rclpy
from rclpy.signals import SignalHandlerOptions

from arfm_ros.core.errors import ConfigError
from arfm_ros.up.discovery_peer import TOPIC

PEERS = 6  # the processes of a stack, and one that watches it
FOUND_S, GHOST_S, POLL_S = 60.0, 60.0, 0.02
LOOP = "while True: pass"


@dataclass(frozen=True, slots=True)
class DiscoveryCosts:
    """What was measured; times in seconds."""

    peers: int
    busy_loops: int
    seconds: float
    found_s: float  # until the slowest peer had found all others
    false_losses: int  # summed over all readers
    ghost_s: float  # for so long a killed peer still counted as a publisher

    def as_json(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def measure(seconds: float, loops: int, peers: int = PEERS) -> DiscoveryCosts:
    """Watch `peers` processes for `seconds` beside `loops` busy loops, then kill one of them.

    Raises `ConfigError` when they do not even find each other.
    """
    with ExitStack() as stack:
        for _ in range(loops):
            stack.enter_context(_process("-c", LOOP))
        words = ("-m", "arfm_ros.up.discovery_peer", str(peers))
        started = [stack.enter_context(_process(*words)) for _ in range(peers)]
        found = [_said(one, "found_s") for one in started]
        time.sleep(seconds)
        for one in started:
            assert one.stdin is not None
            one.stdin.write("count\n")
            one.stdin.flush()
        losses = sum(int(_said(one, "losses")) for one in started)
        ghost_s = _ghost_s(started[-1], peers)
    return DiscoveryCosts(peers, loops, seconds, max(found), losses, ghost_s)


@contextmanager
def _process(*words: str) -> Generator[subprocess.Popen[str], None, None]:
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, *words], stdin=pipe, stdout=pipe, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _said(process: subprocess.Popen[str], name: str) -> float:
    """Read lines until one says `name`; the middleware writes there too."""
    assert process.stdout is not None
    for line in iter(process.stdout.readline, ""):
        if line.startswith(f"{name} "):
            return float(json.loads(line.split()[1]))
    raise ConfigError(f"a peer ended without its {name}: see arfm doctor about DDS")


def _ghost_s(victim: subprocess.Popen[str], peers: int) -> float:
    """Kill a peer; return how long it still counts as a publisher."""
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("bystander", context=context)
    try:
        _until(lambda: node.count_publishers(TOPIC) == peers, FOUND_S, "found all peers")
        victim.kill()
        begin_s = time.monotonic()
        _until(lambda: node.count_publishers(TOPIC) < peers, GHOST_S, "lost the killed peer")
        return time.monotonic() - begin_s
    finally:
        node.destroy_node()
        context.try_shutdown()


def _until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    until_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until_s:
            raise ConfigError(f"not {what} within {timeout_s:g} s: see arfm doctor about DDS")
        time.sleep(POLL_S)


def busy_loops() -> int:
    """Return how many loops occupy every core."""
    return os.cpu_count() or 1

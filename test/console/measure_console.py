"""How soon the arm answers a page: `python test/console/measure_console.py N SECONDS`.

A foreign client beside two cameras that stream: e-stop -> `arbiter/authority` says so, drive ->
the arm moved by 1e-3 rad, connection cut -> the deadman is released; and the node's memory. Every
time is from before the client sends to after this process heard of it by ROS.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from arfm_ros.bringup import prepare_environment

prepare_environment()

import numpy as np  # noqa: E402
from console_rig import TWIST, Client, Stack  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402
from websockets.sync.client import connect  # noqa: E402

from arfm_ros.up.domain import reserve_domain  # noqa: E402

MS, MOVED_RAD = 1e6, 1e-3
BEAT_S, HOLD_S, LOSSES = 0.025, 1.5, 5
CAMERAS = ("scene", "wrist")


def look(url: str, count: list[int]) -> None:
    """Show a camera's pictures as a page does."""
    try:
        with connect(url, open_timeout=60) as pictures:
            for _ in pictures:
                count.append(time.monotonic_ns())
                pictures.send("shown")
    except ConnectionClosed:
        return


def rss_mib(stack: Stack) -> float:
    pages = Path(f"/proc/{stack.children['console_node'].pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def driven(stack: Stack, client: Client, press: int) -> int:
    """Hold, up and down in turn; return how long the arm took to move, ns, 0 never."""
    values = TWIST | {"z": 0.5 if press % 2 else -0.5}
    rest, begin_ns, after = stack.positions[-1][1], time.monotonic_ns(), len(stack.positions)
    while time.monotonic_ns() < begin_ns + HOLD_S * 1e9:
        client.drive(press, values=values)
        time.sleep(BEAT_S)
        for at, there in stack.positions[after:]:
            if abs(there - rest).max() > MOVED_RAD:
                return at - begin_ns
    return 0


def lost(stack: Stack, press: int) -> float:
    """Cut a connection that drives; return the ms until the release, nan where it was not held."""
    client = Client(stack)
    client.take()
    client.engage()
    driven(stack, client, press)
    if not stack.engaged[-1][1]:
        client.close()
        return float("nan")
    begin_ns = time.monotonic_ns()
    client.socket.socket.shutdown(socket.SHUT_RDWR)
    released = (stack.first(stack.engaged, begin_ns, lambda on: not on) - begin_ns) / MS
    client.close()
    return released


def told(name: str, values: list[float]) -> str:
    if not values:
        return f"{name}: none"
    p50, p99 = np.percentile(values, (50, 99))
    return f"{name}: N={len(values)} p50={p50:.0f} p99={p99:.0f} max={max(values):.0f} ms"


def measure(stack: Stack, count: int, seconds: float) -> None:
    begin_s, shown = time.monotonic(), {name: [] for name in CAMERAS}
    before = rss_mib(stack)
    for name in CAMERAS:
        url = stack.url.replace("http", "ws", 1) + f"cameras/{name}"
        threading.Thread(target=look, args=(url, shown[name]), daemon=True).start()
    client, stops, moves = Client(stack), [], []
    client.take()
    for press in range(1, 4 * count):
        if len(stops) >= count and len(moves) >= count:
            break
        client.engage()
        time.sleep(0.2)
        took_ns = driven(stack, client, press)
        moves += [took_ns / MS] if took_ns else []
        begin_ns = time.monotonic_ns()
        client.send(do="estop")
        stops.append((stack.first(stack.authority, begin_ns, "estop".__eq__) - begin_ns) / MS)
    client.close()
    print(told("e-stop -> authority", stops), told("drive -> arm moved", moves), sep="\n")
    losses = [lost(stack, 1 + k) for k in range(2 * LOSSES)]
    print(told("cut -> released", [ms for ms in losses if np.isfinite(ms)][:LOSSES]), flush=True)
    time.sleep(max(0.0, seconds - (time.monotonic() - begin_s)))
    spent_s = time.monotonic() - begin_s
    print(f"RSS {before:.0f} -> {rss_mib(stack):.0f} MiB after {spent_s:.0f} s of pictures")
    print({name: f"{len(kept) / spent_s:.1f} Hz" for name, kept in shown.items()})
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {os.getloadavg()}"
    )


def main() -> None:
    count, seconds = int(sys.argv[1]), float(sys.argv[2])
    domain, reservation = reserve_domain()
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    stack = Stack(Path(tempfile.mkdtemp()), cameras=CAMERAS)
    try:
        measure(stack, count, seconds)
    finally:
        stack.close()
        if reservation is not None:
            reservation.close()


if __name__ == "__main__":
    main()

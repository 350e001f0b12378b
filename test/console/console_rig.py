"""A simulated arm, its arbiter and the console as processes, and pages of a foreign client."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.signals import SignalHandlerOptions
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from arfm_ros.bringup import NODES, NodeProcess, environment
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.executor import Spinner
from arfm_ros.up.stack.process import Child, stop_all

ALIVE_S = 0.5  # how often a page says that it is there
START_S = 120.0  # processes that import, on a busy machine
EVERYTHING = topics.Qos(reliable=False, depth=50)
TWIST = dict.fromkeys(("x", "y", "z", "rx", "ry", "rz"), 0.0)


class Stack:
    """The processes, and what their topics said when (steady ns); `engaged`: when it was sent."""

    def __init__(self, logs: Path, cameras: tuple[str, ...] = ("",), **console: object) -> None:
        self.authority: list[tuple[int, str]] = []
        self.engaged: list[tuple[int, bool]] = []
        self.positions: list[tuple[int, np.ndarray]] = []
        self.commands: list[tuple[int, np.ndarray]] = []
        self.said: list[str] = []
        self.context = rclpy.Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node("console_rig", context=self.context)
        self._listen()
        self._spinner = Spinner(context=self.context)
        self._spinner.add_node(self.node)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        logs.mkdir(parents=True, exist_ok=True)
        given: dict[str, dict[str, Any]] = {
            "sim_node": {"cameras": list(cameras), "robot": "fr3"},
            "arbiter_node": {"speed": 1.0},
            "console_node": {"teleop": True, "port": 0, **console},
        }
        self.logs, env = logs, environment(True)
        self.children = {
            name: Child(
                NodeProcess(name, given[name], env=env, stop_rank=NODES[name].stop_rank), logs
            )
            for name in given
        }
        self.url = ""
        self.until(self._find_url, START_S)
        self.until(lambda: bool(self.positions and self.authority), START_S)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1].strip("/"))

    def log(self) -> str:
        return (self.logs / "console_node.log").read_text()

    def until(self, condition: Callable[[], object], timeout_s: float = 30.0) -> None:
        end_s = time.monotonic() + timeout_s
        while not condition():
            dead = [one.name for one in self.children.values() if one.status() is not None]
            assert not dead, f"{dead} ended: {self.log()[-2000:]}"
            assert time.monotonic() < end_s, f"not in {timeout_s} s; logs: {self.logs}"
            time.sleep(0.002)

    def first(self, kept: list[tuple[int, Any]], since_ns: int, test: Callable[[Any], Any]) -> int:
        """Wait for the first value after a time that passes; return when it came."""
        found: list[int] = []

        def look() -> bool:
            found[:] = [at for at, value in list(kept) if at > since_ns and test(value)][:1]
            return bool(found)

        self.until(look)
        return found[0]

    def close(self) -> None:
        stop_all(sorted(self.children.values(), key=lambda child: child.node.stop_rank))
        self._over.set()
        self._thread.join(timeout=2.0)
        self._spinner.shutdown(timeout_sec=1.0)
        self.node.destroy_node()
        self.context.try_shutdown()

    def _spin(self) -> None:
        while not self._over.is_set():
            self._spinner.spin_once(timeout_sec=0.1)

    def _find_url(self) -> bool:
        log = self.log() if (self.logs / "console_node.log").exists() else ""
        found = [line.split("console: ", 1)[1] for line in log.splitlines() if "console: " in line]
        self.url = found[0].strip() if found else ""
        return bool(found)

    def _listen(self) -> None:
        def keep(kept: list[tuple[int, Any]], read: Callable[[Any], Any]) -> Callable[[Any], None]:
            return lambda message: kept.append((time.monotonic_ns(), read(message)))

        def on_engaged(message: Any, info: Any) -> None:
            ago_ns = time.time_ns() - info["source_timestamp"]
            self.engaged.append((time.monotonic_ns() - ago_ns, message.data))

        for row, kept, read in (
            (topics.AUTHORITY, self.authority, lambda m: m.data),
            (topics.JOINT_STATES, self.positions, lambda m: np.array(m.position[:7])),
            (topics.ARBITER_COMMAND, self.commands, lambda m: np.array(m.position[:7])),
        ):
            fast = EVERYTHING if row.type_name.endswith("JointState") else None
            topics.subscription(self.node, row, keep(kept, read), fast)
        topics.subscription(self.node, topics.TELEOP_ENGAGED, on_engaged, EVERYTHING)
        topics.subscription(self.node, topics.INSTRUCTION, lambda m: self.said.append(m.data))


class Client:
    """A page that is no browser: sends what it is told, keeps what it hears."""

    def __init__(self, stack: Stack, headers: dict[str, str] | None = None, **more: Any) -> None:
        self.heard: list[dict[str, Any]] = []
        self.close_code = 0
        url = stack.url.replace("http", "ws", 1) + "control"
        opening = connect(
            url, additional_headers=headers, open_timeout=60, compression=None, **more
        )
        self.socket: ClientConnection = opening.__enter__()
        self._stack = stack
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self._began_s = time.monotonic()
        self._over = threading.Event()
        self._alive = threading.Thread(target=self._say_alive, daemon=True)
        self._alive.start()

    def send(self, **message: object) -> None:
        self.socket.send(json.dumps(message))

    def drive(self, press: int, held: bool = True, **more: object) -> None:
        values = {"kind": "twist", "values": TWIST | {"z": -0.5}} if held else {}
        at = (time.monotonic() - self._began_s) * 1000
        self.send(**({"do": "drive", "press": press, "held": held, "at": at} | values | more))

    def answer(self, what: str, kind: str = "done", timeout_s: float = 30.0) -> dict[str, Any]:
        """Wait for the newest answer to `what`, and forget it."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [
                m for m in self.heard if m["is"] == kind and (not what or m.get("what") == what)
            ]
            return bool(found)

        self._stack.until(look, timeout_s)
        self.heard.remove(found[-1])
        return found[-1]

    def state(self, test: Callable[[dict[str, Any]], Any] = bool) -> dict[str, Any]:
        """Wait for a state that passes."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [m for m in self.heard[-3:] if m["is"] == "state" and test(m)]
            return bool(found)

        self._stack.until(look, 60.0)
        return found[-1]

    def take(self) -> bool:
        self.send(do="take")
        good = bool(self.answer("take")["ok"])
        self.drive(0, held=False)
        return good

    def engage(self) -> None:
        """Clear what is latched and let the arbiter drive."""
        for what in ("release_estop", "reset", "engage"):
            self.send(do=what)
            self.answer(what)
        self._stack.until(lambda: self._stack.authority[-1][1] not in {"idle", "estop"})

    def close(self) -> None:
        self._over.set()
        self.socket.close()
        self._thread.join(timeout=5.0)
        self._alive.join(timeout=5.0)

    def _say_alive(self) -> None:
        while not self._over.wait(ALIVE_S):
            try:
                self.send(do="alive")
            except ConnectionClosed:
                return

    def _listen(self) -> None:
        try:
            for text in self.socket:
                self.heard.append(json.loads(text))
        except Exception:  # noqa: BLE001 - thread border: the code says how it ended
            pass
        self.close_code = self.socket.close_code or 1006

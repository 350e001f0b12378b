"""A web page for whoever stands beside the robot: pictures, who drives, and the controls.

ROS is spun by one thread, the web server has another; a page that is slow, stalls or floods costs
neither the arm nor other pages anything.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_srvs.srv import Trigger

from arfm_ros.console.certificates import (
    fingerprint,
    make_certificate,
    read_token,
    server_context,
)
from arfm_ros.console.controls import NS, Controls
from arfm_ros.console.doors import Keyring
from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.latency import StageLatency
from arfm_ros.nodes.console.asking import Asking
from arfm_ros.nodes.console.drive import Drive
from arfm_ros.nodes.console.eye import Eye
from arfm_ros.nodes.console.params import ConsoleParams
from arfm_ros.nodes.console.pictures import Pictures
from arfm_ros.nodes.ros import spin, topics
from arfm_ros.nodes.ros.diagnostics import OK, WARN, Diagnostics, Health
from arfm_ros.nodes.ros.params import declare
from arfm_ros.nodes.teleop.view import RobotView
from arfm_ros.robots.files.load import load_robot

READY_S = 1.0


class ConsoleNode(Node):
    """Show the stack and pass on what operators want."""

    STOP_S = 0.5

    def __init__(self) -> None:
        super().__init__("console_node")
        params = self._params = declare(self, ConsoleParams)
        robot = load_robot(params.robot)
        self._latency = StageLatency()
        view = RobotView(self, robot, self._latency)
        self._asking, self._eye = Asking(self), Eye(self, robot, view)
        drives = params.teleop
        self._drive = Drive(self, robot, params.group, view, self._latency) if drives else None
        self._pictures = Pictures(self, robot.cameras, params.picture_hz, self._ring)
        self._serve()
        self._ready: dict[str, bool] = {}
        self._diagnostics = Diagnostics(self, self._health)
        topics.service(self, topics.CONSOLE_URL, self._on_url)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(1.0 / params.state_hz, self._show, clock=steady)
        self._ready_timer = self.create_timer(READY_S, self._look, clock=steady)

    def begin_stop(self) -> None:
        """Let go of the arm."""
        if self._drive is not None:
            self._drive.leave()

    def stopped(self) -> bool:
        """Tell whether the arbiter was told so."""
        return self._drive is None or not self._drive.held

    def close(self) -> None:
        """Hang up."""
        self._server.close()

    def _serve(self) -> None:
        try:
            from arfm_ros.nodes.console.pages import Pages
            from arfm_ros.nodes.console.server import Server
            from arfm_ros.nodes.console.site import Site
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"the console needs {error.name}: pip install 'arfm_ros[console]', or on ROS's "
                "Ubuntu apt install python3-aiohttp"
            ) from error
        params = self._params
        token = read_token(Path(params.token_file).expanduser()) if params.token_file else ""
        names = (*params.names, socket.gethostname())
        keyring = Keyring(token, round(params.session_h * 3600 * NS))
        self._pages = Pages(self._asking, self._drive, Controls(idle_ns=round(params.idle_s * NS)))
        self._site = Site(self._pages, self._pictures, keyring, names, params.picture_hz)
        self._site.hello = self._eye.about()
        tls = self._tls(names)
        self._server = Server(self._site.app, self._pages, tls)
        port = self._server.start(params.host, params.port)
        host = f"[{params.host}]" if ":" in params.host else params.host
        self._url = f"{'https' if tls else 'http'}://{host}:{port}/"
        self.get_logger().info(f"console: {self._url}")

    def _tls(self, names: tuple[str, ...]) -> ssl.SSLContext | None:
        params = self._params
        certificate, key = Path(params.certificate).expanduser(), Path(params.key).expanduser()
        if params.make_certificate:
            folder = Path(params.make_certificate).expanduser()
            certificate, key = make_certificate(folder, ("localhost", "127.0.0.1", *names))
            self.get_logger().info(f"certificate's SHA-256: {fingerprint(certificate)}")
        elif not params.certificate:
            return None
        return server_context(certificate, key)

    def _ring(self) -> None:
        self._server.call(self._site.ring)

    def _look(self) -> None:
        self._ready = self._asking.ready()
        if self._server.failure is not None:
            raise self._server.failure

    def _show(self) -> None:
        self._eye.watched = len(self._pages) > 0
        if not self._eye.watched:
            return
        drive = {"held": False, "note": ""}
        if self._drive is not None:
            drive = {"held": self._drive.held, "note": self._drive.note}
        state: dict[str, Any] = {"is": "state", **self._eye.look(), "ready": self._ready}
        state |= {"drive": drive, "cameras_hz": self._pictures.rates(time.monotonic_ns())}
        self._server.call(self._pages.show, json.dumps(state, allow_nan=False, default=str))

    def _on_url(self, request: Any, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, self._url
        return response

    def _health(self) -> Health:
        values: dict[str, object] = {
            "url": self._url,
            "pages": len(self._pages),
            "holder": self._pages.holder,
            **self._latency.values_ms(),
        }
        if self._drive is not None and self._drive.held and self._drive.note:
            return Health(WARN, self._drive.note, values)
        return Health(OK, f"{len(self._pages)} pages", values)


def main() -> int:
    """Run the node as a process."""
    return spin.run(ConsoleNode)


if __name__ == "__main__":
    sys.exit(main())

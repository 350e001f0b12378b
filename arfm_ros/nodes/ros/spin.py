"""Run one node as a process: start, spin, stop cleanly on SIGINT and SIGTERM."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from arfm_ros.core.errors import ArfmError, ConfigError
from arfm_ros.nodes.ros.executor import Spinner
from arfm_ros.nodes.ros.params import refuse_unknown
from arfm_ros.nodes.ros.stopping import Stopping

try:  # rclpy keeps its C errors in a private module
    from rclpy._rclpy_pybind11 import InvalidHandle, RCLError
except ImportError:  # pragma: no cover - another rclpy than Jazzy's
    RCLError = InvalidHandle = RuntimeError


def run(make_node: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Spin the node that `make_node` makes until it is told to stop; return the exit code.

    SIGINT, SIGTERM and SIGHUP call the node's `begin_stop()`, and spinning goes on until its
    `stopped()` is true or `STOP_S` seconds have passed (see `Stopping`). Then `close()` is
    called, which may still publish, and the node is destroyed; each of them is optional.
    `ArfmError` becomes one line on stderr and exit code 1; a callback ends the process by raising
    `SystemExit(code)`. Other exceptions are programming errors and keep their traceback.
    """
    stopping = Stopping()
    try:
        stopping.begin()
        _start(args)
        return _spin(make_node, stopping)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except ArfmError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    except (RCLError, InvalidHandle):
        if rclpy.ok():
            raise
        return 0  # a callback was about to publish while the context was being shut down
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    finally:
        stopping.close()
        rclpy.try_shutdown()


def _start(args: Sequence[str] | None) -> None:
    """Begin; what keeps ROS from it (arguments, a missing enclave) is a `ConfigError`."""
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RCLError as error:
        raise ConfigError(f"ROS does not start: {error}") from error


def _made(make_node: Callable[[], Node]) -> Node:
    try:
        return make_node()
    except RCLError as error:
        if not rclpy.ok():
            raise  # it is being shut down already
        raise ConfigError(f"the node does not start: {error}") from error


def _spin(make_node: Callable[[], Node], stop: Stopping) -> int:
    node = _made(make_node)
    spinner = Spinner()
    try:
        refuse_unknown(node)
        spinner.add_node(node)
        stop.watch(node)
        spinner.spin_until(stop.over)
    finally:
        stop.leave()
        _close(node)
        spinner.shutdown(timeout_sec=1.0)
        node.destroy_node()
    return 0


def _close(node: Any) -> None:
    close = getattr(node, "close", None)
    if close is not None:
        close()

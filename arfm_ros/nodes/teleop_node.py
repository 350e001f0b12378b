"""A person's device at the arbiter: joint targets and a deadman, 100 times a second.

Whatever goes wrong with the device, its messages or the way to it releases the deadman at once
and says why; the arbiter does the rest. Stamps are the device's.
"""

from __future__ import annotations

import sys

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.latency import StageLatency
from arfm_ros.nodes.arbiter.inputs import Moment, moment
from arfm_ros.nodes.ros import spin
from arfm_ros.nodes.ros.diagnostics import OK, WARN, Diagnostics, Health
from arfm_ros.nodes.ros.params import declare
from arfm_ros.nodes.teleop.params import TeleopParams
from arfm_ros.nodes.teleop.senders import Senders
from arfm_ros.nodes.teleop.sources import OPEN, Desk
from arfm_ros.nodes.teleop.view import RobotView
from arfm_ros.nodes.teleop.wishes import Wishes
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.kinematics.chain import Chain
from arfm_ros.teleop.device import seat_of
from arfm_ros.teleop.pilot import NOTHING, Pilot, Wanted

LOOK_S = 0.1
SOONEST_NS = 4_000_000  # between two readings of a device, which may speak at 1 kHz


class TeleopNode(Node):
    """Read one device and publish what the person wants."""

    STOP_S = 0.5

    def __init__(self) -> None:
        super().__init__("teleop_node")
        self._params = params = declare(self, TeleopParams)
        robot = load_robot(params.robot)
        self._seat = seat_of(robot, params.group)
        self._latency = StageLatency()
        self._view = RobotView(self, robot, self._latency)
        self._wishes = Wishes(self, self._view, self._latency)
        self._senders = Senders(self)
        self._pilot = Pilot(robot, lambda group: Chain(robot, group), params.cartesian())
        desk = Desk(self, params, robot, self._seat, self._view, self._senders, self._heard)
        self._source = OPEN[params.device](desk)
        self._trouble, self._note = "", ""
        self._stopping, self._read_ns = False, 0
        self._diagnostics = Diagnostics(self, self._health)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(1.0 / params.rate_hz, self._tick, clock=steady)
        self._look_timer = self.create_timer(LOOK_S, self._senders.look, clock=steady)
        self.get_logger().info(f"{params.device} drives {self._seat.arm} of {robot.name}")

    def begin_stop(self) -> None:
        """Let go."""
        self._stopping = True

    def stopped(self) -> bool:
        """Tell whether the arbiter was told so."""
        return not self._wishes.held

    def close(self) -> None:
        """Give the device back."""
        self._source.device.close()

    def _heard(self) -> None:
        """Read a device at once that nobody held: a takeover does not wait for the timer."""
        if not self._wishes.held and moment(self).steady_ns - self._read_ns >= SOONEST_NS:
            self._tick()

    def _tick(self) -> None:
        now = moment(self)
        self._read_ns = now.steady_ns
        wanted, trouble = self._wanted(now)
        self._wishes.say(wanted, now)
        self._source.answer(now.ros_ns)
        self._note = wanted.note
        told = trouble or (wanted.note if not wanted.engaged else "")
        if told != self._trouble:
            self._trouble = told
            if told:
                self.get_logger().warning(told, throttle_duration_sec=1.0)
            self._diagnostics.publish()

    def _wanted(self, now: Moment) -> tuple[Wanted, str]:
        """Return what the person wants, and why it does not count."""
        device, state = self._source.device, self._view.state(now.steady_ns)
        if state is not None:
            device.feel(state)
        try:
            targets = device.read(now.steady_ns)
        except ConfigError as error:
            return NOTHING, str(error)
        trouble = self._senders.trouble or device.trouble
        if state is None:
            trouble = trouble or self._view.problem(now.steady_ns)
        if trouble or state is None or self._stopping:
            self._pilot.release()
            return NOTHING, trouble
        return self._pilot.follow(targets, state, now.steady_ns), ""

    def _health(self) -> Health:
        values: dict[str, object] = {
            "device": self._params.device,
            "engaged": self._wishes.held,
            "takeovers": self._wishes.takeovers,
            "authority": self._view.authority,
            "held_back": self._note,
            **self._latency.values_ms(),
        }
        if self._trouble:
            return Health(WARN, self._trouble, values)
        return Health(OK, "driving" if self._wishes.held else "ready", values)


def main() -> int:
    """Run the node as a process."""
    return spin.run(TeleopNode)


if __name__ == "__main__":
    sys.exit(main())

"""What the page drives, at the arbiter: joint targets and a deadman, as every device says them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from arfm_ros.console.pad import PadDevice
from arfm_ros.core.values.latency import StageLatency
from arfm_ros.nodes.arbiter.inputs import Moment, moment
from arfm_ros.nodes.teleop.senders import Senders
from arfm_ros.nodes.teleop.view import RobotView
from arfm_ros.nodes.teleop.wishes import Wishes
from arfm_ros.robots.kinematics.chain import Chain
from arfm_ros.robots.robot import Robot
from arfm_ros.teleop.device import seat_of
from arfm_ros.teleop.pilot import NOTHING, Pilot, Wanted

PERIOD_S = 0.01
LOOK_S = 0.2


class Drive:
    """The seat of one page. `sit`, `stand_up` and `hear` are called from the server's thread."""

    def __init__(
        self, node: Node, robot: Robot, group: str, view: RobotView, latency: StageLatency
    ) -> None:
        self._node, self._view, self._latency = node, view, latency
        self._lock = threading.Lock()
        self._pad = PadDevice(robot, seat_of(robot, group))
        self._pilot = Pilot(robot, lambda name: Chain(robot, name))
        self._wishes = Wishes(node, view, latency)
        self._senders = Senders(node)
        self._stopping = False
        self.note = ""  # what holds the arm back, or why the press does not count
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(PERIOD_S, self._tick, clock=steady)
        self._look_timer = node.create_timer(LOOK_S, self._look, clock=steady)
        self._bell: Any = node.create_guard_condition(self._tick)

    @property
    def held(self) -> bool:
        """Whether the arbiter was told that a person drives."""
        return self._wishes.held

    def sit(self) -> None:
        """Give the seat to the page that took the controls."""
        with self._lock:
            self._pad.sit()

    def stand_up(self) -> None:
        """Release the deadman at once."""
        with self._lock:
            self._pad.stand_up()
        self._bell.trigger()

    def hear(self, message: Mapping[str, Any], stamp_ns: int, now_ns: int) -> None:
        """Take what the page sent; raises `PageError`."""
        try:
            with self._lock:
                before = self._pad.held
                self._pad.hear(message, stamp_ns, now_ns)
                changed = before != self._pad.held
        finally:
            self._bell.trigger()
        if changed:
            self._latency.add("page_to_node", now_ns - stamp_ns)

    def leave(self) -> None:
        """Let go for good."""
        self._stopping = True
        self.stand_up()

    def _look(self) -> None:
        self._senders.look()

    def _tick(self) -> None:
        now = moment(self._node)
        with self._lock:
            if not self._pad.held and not self._wishes.held:
                self._wishes.idle(now)
                return
            wanted = self._wanted(now)
        if wanted.note:
            self.note = wanted.note
        self._wishes.say(wanted, now)

    def _wanted(self, now: Moment) -> Wanted:
        state = self._view.state(now.steady_ns)
        if state is not None:
            self._pad.feel(state)
        targets = self._pad.read(now.steady_ns)
        self.note = self._senders.trouble or self._pad.trouble
        if state is None:
            self.note = self.note or self._view.problem(now.steady_ns)
        if self.note or state is None or self._stopping:
            self._pilot.release()
            return NOTHING
        return self._pilot.follow(targets, state, now.steady_ns)

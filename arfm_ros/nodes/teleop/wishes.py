"""What a person wants, as the arbiter hears it: a deadman and joint targets."""

from __future__ import annotations

from array import array

from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

from arfm_ros.core.values.latency import StageLatency
from arfm_ros.nodes.arbiter.inputs import Moment
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.convert import ns_to_time
from arfm_ros.nodes.teleop.view import RobotView
from arfm_ros.teleop.pilot import Wanted

REPEAT_NS = 40_000_000  # how often a deadman that did not change is said


class Wishes:
    """The publishers of `teleop/engaged` and `teleop/target_joint`; stamps are the device's."""

    def __init__(self, node: Node, view: RobotView, latency: StageLatency) -> None:
        self._view, self._latency = view, latency
        self._target = topics.publisher(node, topics.TELEOP_TARGET)
        self._engaged = topics.publisher(node, topics.TELEOP_ENGAGED)
        self._said_ns = 0
        self.held = False  # what was said last of the deadman
        self.takeovers = 0

    def say(self, wanted: Wanted, now: Moment) -> None:
        """Publish the deadman at once where it changed, else now and then; and the target."""
        changed = wanted.engaged != self.held
        if changed or now.steady_ns - self._said_ns >= REPEAT_NS:
            self._say_engaged(wanted.engaged, now)
        if changed and wanted.engaged:
            self.takeovers += 1
            self._view.took_over(wanted.stamp_ns)
        if not wanted.engaged or not wanted.positions:
            return
        message = JointState(name=list(wanted.positions))
        message.header.stamp = ns_to_time(now.ros(wanted.stamp_ns))
        message.position = array("d", wanted.positions.values())
        self._target.publish(message)
        self._view.sent(now.steady_ns)
        self._latency.add("event_to_target", now.steady_ns - wanted.stamp_ns)

    def idle(self, now: Moment) -> None:
        """Nobody sits here: say seldom that nothing is held."""
        if now.steady_ns - self._said_ns >= 5 * REPEAT_NS:
            self._say_engaged(False, now)

    def _say_engaged(self, engaged: bool, now: Moment) -> None:
        self._engaged.publish(Bool(data=engaged))
        self.held, self._said_ns = engaged, now.steady_ns

"""What the arbiter sends: to the controllers of all groups, and a copy of it; who else does."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from arfm_ros.core.safety.decision import Decision
from arfm_ros.nodes.arbiter.actions import GoalSender, is_action
from arfm_ros.nodes.arbiter.inputs import Moment
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.convert import ns_to_time
from arfm_ros.nodes.ros.verdict import Verdict, verdict_to_diagnostics
from arfm_ros.robots.commands.controller import Ahead, Topic
from arfm_ros.robots.commands.whole import WholeRobot

AUTHORITY_PERIOD_NS = 1_000_000_000


class ArbiterOutputs:
    """Publishers of the arbiter: the controllers' commands, their copy, authority, verdicts."""

    def __init__(self, node: Node, whole: WholeRobot, names: tuple[str, ...]) -> None:
        self._node, self._whole = node, whole
        listened = [topic for those in whole.topics().values() for topic in those]
        self._commands = {t: _publisher(node, t) for t in listened if not is_action(t)}
        self._goals = {t: GoalSender(node, t) for t in listened if is_action(t)}
        self._sent = topics.publisher(node, topics.ARBITER_COMMAND)
        self._authority = topics.publisher(node, topics.AUTHORITY)
        self._verdicts = topics.publisher(node, topics.CHUNK_RESULT)
        self._said = ("", 0)
        self._sent_message = JointState(name=list(names))

    def publish(self, decision: Decision, now: Moment, preview: Ahead) -> None:
        """Send what `decision` asks for, if anything."""
        self._say(decision.authority, now.steady_ns)
        for out in self._whole.commands(decision, now.steady_ns, preview):
            goals = self._goals.get(out.topic)
            if goals is not None:
                goals.offer(out.value)
                continue
            message = out.value.message(now.ros_ns, topics.interface)
            self._commands[out.topic].publish(message)
        for goals in self._goals.values():
            if decision.command is None:
                goals.forget()
            goals.step(now.steady_ns, now.ros_ns)
        if decision.command is None:
            return
        self._sent_message.header.stamp = ns_to_time(now.ros_ns)
        self._sent_message.position = _doubles(decision.command)
        self._sent_message.velocity = _doubles(decision.velocity)
        self._sent.publish(self._sent_message)

    def intruders(self) -> str:
        """Name who else publishes on a command topic; '' when nobody does."""
        own = self._node.get_fully_qualified_name()
        for publisher in self._commands.values():
            topic = publisher.topic_name
            if self._node.count_publishers(topic) <= 1:
                continue
            infos = self._node.get_publishers_info_by_topic(topic)
            names = [f"{i.node_namespace.rstrip('/')}/{i.node_name}" for i in infos]
            if own in names:
                names.remove(own)  # once: another arbiter of the same name stays
            return f"{topic} has another publisher: {', '.join(names)}; stop it, then reset"
        return ""

    def judged(self, verdict: Verdict) -> None:
        """Tell what became of a chunk."""
        self._verdicts.publish(verdict_to_diagnostics(verdict))

    def _say(self, authority: str, now_ns: int) -> None:
        said, at_ns = self._said
        if authority == said and 0 <= now_ns - at_ns < AUTHORITY_PERIOD_NS:
            return
        self._said = (authority, now_ns)
        self._authority.publish(String(data=authority))


def _publisher(node: Node, topic: Topic) -> Any:
    qos = topics.Qos(reliable=topic.reliable, depth=topic.depth)
    return topics.publisher(node, topics.Topic(topic.name, topic.interface, qos, qos))


def _doubles(values: Any) -> array[float]:
    return array("d", np.ascontiguousarray(values, dtype=np.float64).tobytes())

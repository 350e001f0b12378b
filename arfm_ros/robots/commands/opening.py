"""Grippers of one opening, 0 closed to 1 open: what their kinds have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from arfm_ros.core.safety.decision import Decision
from arfm_ros.robots.commands import preflight
from arfm_ros.robots.commands.controller import Ahead, Numbers, Outgoing, Topic, command_topic
from arfm_ros.robots.commands.graph import Finding, Graph
from arfm_ros.robots.commands.values import Value
from arfm_ros.robots.robot import Group

NS = 1_000_000_000


class ChangedOpening:
    """Let an opening pass that differs enough from the one before, or is an end of the way.

    `refresh_s` 0: nothing is repeated. `gap_s`: what changes sooner waits, and the newest wins.
    """

    def __init__(self, change_min: float, refresh_s: float = 0.0, gap_s: float = 0.0) -> None:
        self._change_min = change_min
        self._refresh_ns, self._gap_ns = round(refresh_s * NS), round(gap_s * NS)
        self._sent: float | None = None
        self._sent_ns = 0

    def due(self, opening: float, now_ns: int) -> float | None:
        """Return the clipped opening to send now, or None."""
        value = min(max(opening, 0.0), 1.0)
        since_ns = now_ns - self._sent_ns
        if self._sent is not None and not self._worth(value, self._sent, since_ns):
            return None
        self._sent, self._sent_ns = value, now_ns
        return value

    def forget(self) -> None:
        """Send the next opening whatever it is."""
        self._sent = None

    def _worth(self, value: float, sent: float, since_ns: int) -> bool:
        if since_ns < 0:  # the clock went back
            return True
        if self._refresh_ns and since_ns >= self._refresh_ns:
            return True
        ends = self._gap_ns > 0 and value in {0.0, 1.0} and value != sent
        return since_ns >= self._gap_ns and (abs(value - sent) >= self._change_min or ends)


class GripperController:
    """Send one axis' opening when it is worth it, in the numbers of the gripper's driver."""

    def __init__(
        self,
        group: Group,
        name: str,
        topic: tuple[str, str],
        changed: ChangedOpening,
        value: Callable[[float], Value],
    ) -> None:
        """`name`: in the controller manager. `topic`: its default name, and its interface.

        `value` makes what is sent of a position in the message's numbers.
        """
        self._group, self._name, self._default = group, name, topic
        self._opening, self._value = changed, value
        self._numbers, self._topic = Numbers(group), self.topics(group)[0]

    def topics(self, group: Group) -> tuple[Topic, ...]:
        """Return the topic or the action."""
        return (command_topic(group, *self._default),)

    def commands(self, decision: Decision, now_ns: int, ahead: Ahead) -> Sequence[Outgoing]:
        """Return what is sent when the opening is worth it."""
        if decision.command is None:
            self._opening.forget()
            return ()
        opening = self._opening.due(float(decision.command[0]), now_ns)
        if opening is None:
            return ()
        position = float(self._numbers.positions(np.array([opening]))[0])
        return (Outgoing(self._topic, self._value(position)),)

    def preflight(self, graph: Graph) -> Sequence[Finding]:
        """Check the graph."""
        return (
            *preflight.of_group(self._group, (self._topic,), graph),
            *preflight.active(self._name, graph),
        )

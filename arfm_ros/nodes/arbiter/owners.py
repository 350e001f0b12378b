"""Who has each group, and how far person and policy disagree, on their topics."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from std_msgs.msg import Header

from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.decision import IDLE, Decision
from arfm_ros.core.sharing.authority import Ownership
from arfm_ros.nodes.arbiter.inputs import Moment
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.convert import ns_to_time

NS = 1_000_000_000


class OwnersTeller:
    """Publish owners when they change and once a second, disagreement while there is one.

    Who acts is told with the stamp of the very tick that decided it, which is that of the command:
    a recording says of each command whose it was.
    """

    def __init__(self, node: Node) -> None:
        self._owners = topics.publisher(node, topics.OWNERS)
        self._apart = topics.publisher(node, topics.DISAGREEMENT)
        self._said: tuple[Ownership, ...] = ()
        self._acting: dict[str, str] = {}  # group -> authority
        self._said_ns = 0

    def decided(self, arbiter: Arbiter, decision: Decision, now: Moment) -> None:
        """Publish where others act from this tick on; the caller holds the arbiter's lock."""
        if decision.owners != self._acting:
            self._say(arbiter, dict(decision.owners), now)

    def tell(self, arbiter: Arbiter, now: Moment) -> None:
        """Publish what else there is to say; the caller holds the arbiter's lock."""
        owners = arbiter.authority.owners(now.steady_ns)
        if owners != self._said or now.steady_ns - self._said_ns >= NS:
            self._say(arbiter, self._acting, now)
        apart = arbiter.authority.disagreement(now.steady_ns)
        if apart:
            rows = [_values(group, units) for group, units in apart.items()]
            self._apart.publish(_array(rows, now))

    def _say(self, arbiter: Arbiter, acting: dict[str, str], now: Moment) -> None:
        self._said, self._acting = arbiter.authority.owners(now.steady_ns), acting
        self._said_ns = now.steady_ns
        rows = [_status(one, acting.get(one.group, IDLE), now) for one in self._said]
        self._owners.publish(_array(rows, now))


def _status(one: Ownership, acting: str, now: Moment) -> DiagnosticStatus:
    values: dict[str, object] = {
        "owner": one.owner,
        "acting": acting,
        "weight": f"{one.weight:.3f}",
        "mode": one.mode,
        "since_ns": now.ros(one.since_ns),
    }
    return _values(one.group, values | {f"weight.{n}": f"{w:.3f}" for n, w in one.axes.items()})


def _values(name: str, values: dict[str, object] | dict[str, float]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(name=name, values=pairs)


def _array(rows: list[DiagnosticStatus], now: Moment) -> DiagnosticArray:
    return DiagnosticArray(header=Header(stamp=ns_to_time(now.ros_ns)), status=rows)

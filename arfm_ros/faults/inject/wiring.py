"""Who speaks to whom while faults are injected: a relay stands in the streams, a witness hears.

Streams that can be altered leave their source under `true/...`, and the relay passes them on under
their own name. The witness hears the source, so that it knows where the arm really was.
"""

from __future__ import annotations

from dataclasses import dataclass

from arfm_ros.nodes.ros import topics

TRUE = "true/"


@dataclass(frozen=True, slots=True)
class Stream:
    """A topic that the relay passes on; `source` is the name it leaves its node under."""

    row: topics.Topic
    node: str

    @property
    def source(self) -> str:
        """Name under which the node publishes it."""
        return TRUE + self.row.name


STREAMS = {
    "state": Stream(topics.JOINT_STATES, "sim_node"),
    "scene": Stream(topics.IMAGE.of("scene"), "sim_node"),
    "wrist": Stream(topics.IMAGE.of("wrist"), "sim_node"),
    "chunk": Stream(topics.ACTION_CHUNK, "policy_node"),
}
TELEOP = "teleop"  # the relay makes this stream itself
CAMERAS = ("scene", "wrist")

# What the witness writes, by the number in its file
WITNESSED = (
    topics.TARGET_JOINT,
    topics.ARBITER_COMMAND,
    STREAMS["state"].row.at(STREAMS["state"].source),
    topics.AUTHORITY,
    topics.CHUNK_RESULT,
    topics.DIAGNOSTICS,
    topics.ESTOP,
    STREAMS["state"].row,
)
(TARGET, COMMAND, ARM, AUTHORITY, RESULT, HEALTH, ESTOP, PASSED) = range(len(WITNESSED))


def remaps(node: str) -> dict[str, str]:
    """Return the names under which a node's streams leave it."""
    return {s.row.name: s.source for s in STREAMS.values() if s.node == node}

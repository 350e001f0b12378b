"""What became of requests and words: answered on a topic, and a label of the episode."""

from __future__ import annotations

import json

from rclpy.node import Node
from std_msgs.msg import String

from arfm_ros.nodes.ros import topics

SHOWN = 200  # characters


class Answers:
    """Tell what a text was taken for and why it is refused, '' if it is not."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._answers = topics.publisher(node, topics.ARBITER_ANSWER)
        self._labels = topics.publisher(node, topics.EPISODE_LABEL)

    def tell(self, said: str, kind: str, refusal: str, label: str = "") -> None:
        """Publish; with a `label` also as that key of the episode, with its time."""
        told = {"said": said[:SHOWN], "as": kind, "refused": refusal}
        self._answers.publish(String(data=json.dumps(told)))
        if refusal:
            self._node.get_logger().warning(f"{said[:40]!r} refused: {refusal}")
        if label:
            told["stamp_ns"] = str(self._node.get_clock().now().nanoseconds)
            self._labels.publish(String(data=json.dumps({label: told})))

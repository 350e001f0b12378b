"""Sub-goals: say one instruction after the other, each when the one before is done."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import Bool, String

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.decision import IDLE
from arfm_ros.installed import share
from arfm_ros.nodes.arbiter.words import WORDS
from arfm_ros.nodes.ros import spin, topics
from arfm_ros.nodes.ros.diagnostics import OK, WARN, Diagnostics, Health
from arfm_ros.nodes.ros.params import declare, knob
from arfm_ros.words.lexicon import WORDS as SHIPPED
from arfm_ros.words.lexicon import load_lexicon
from arfm_ros.words.plan import PlanRun, load_plan

PERIOD_S = 0.05


@dataclass(frozen=True)
class OperatorParams:
    """What to say."""

    plan: str = knob("", "YAML of the steps: docs/authority.md")
    words: str = knob("", "YAML of words, '': config/words.yaml")


class OperatorNode(Node):
    """Begin when somebody may drive; `stop`, `pause`, `resume` and `next` count here too."""

    def __init__(self) -> None:
        super().__init__("operator_node")
        params = declare(self, OperatorParams)
        if not params.plan:
            raise ConfigError("operator_node has no plan: set the parameter 'plan'")
        self._steps = load_plan(Path(params.plan))
        self._lexicon = load_lexicon(Path(params.words or share("config", SHIPPED)))
        self._run: PlanRun | None = None
        self._say = topics.publisher(self, topics.INSTRUCTION)
        self._labels = topics.publisher(self, topics.EPISODE_LABEL)
        topics.subscription(self, WORDS, self._on_word)
        topics.subscription(self, topics.AUTHORITY, self._on_authority)
        for name in dict.fromkeys(step.topic for step in self._steps if step.topic):
            row = topics.Topic(name, "std_msgs/msg/Bool", topics.EVENT, topics.EVENT)
            topics.subscription(self, row, partial(self._on_done, name))
        self._diagnostics = Diagnostics(self, self._health)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(PERIOD_S, self._tick, clock=steady)

    def _on_authority(self, message: String) -> None:
        if self._run is None and message.data != IDLE:
            self._run = PlanRun(self._steps, time.monotonic_ns())

    def _on_word(self, message: String) -> None:
        if self._run is not None:
            self._run.hear(self._lexicon.read(message.data).kind, time.monotonic_ns())

    def _on_done(self, topic: str, message: Bool) -> None:
        if self._run is not None:
            self._run.told(topic, message.data, time.monotonic_ns())

    def _tick(self) -> None:
        run = self._run
        if run is None:
            return
        verb, said = run.tick(time.monotonic_ns()), run.take()
        if verb:
            self.get_logger().warning(f"{run.trouble}: say resume or next")
            self._say.publish(String(data=verb))
            self._diagnostics.publish()
        if said:
            label = {"step": {"number": run.number, "say": said}}
            self._labels.publish(String(data=json.dumps(label)))
            self._say.publish(String(data=said))
            self._diagnostics.publish()

    def _health(self) -> Health:
        run = self._run
        if run is None:
            return Health(OK, "waits for the robot to be engaged", {"steps": len(self._steps)})
        step = run.step
        values = {"step": run.number, "steps": len(self._steps), "say": step.say if step else ""}
        text = f"step {run.number} of {len(self._steps)}" if step else "all steps are done"
        return Health(WARN if run.trouble else OK, run.trouble or text, values)


def main() -> int:
    """Run the node as a process."""
    return spin.run(OperatorNode)


if __name__ == "__main__":
    sys.exit(main())

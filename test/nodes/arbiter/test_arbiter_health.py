"""What the arbiter says of itself, also of what lasted for a few ticks only."""

import pytest

pytest.importorskip("rclpy")

from arbiter_rig import Rig  # noqa: E402

from arfm_ros.core.values.latency import Deadlines, StageLatency  # noqa: E402
from arfm_ros.nodes.arbiter.health import ArbiterHealth, Told  # noqa: E402
from arfm_ros.robots.fr3.limits import fr3_limits  # noqa: E402

MS = 1_000_000


def test_a_stop_between_two_messages_is_told_by_the_next_one_and_only_once():
    rig = Rig()
    rig.engage()
    told, before = Told(), None
    reporter = ArbiterHealth(fr3_limits().names, StageLatency(), Deadlines(10 * MS, rig.now))
    rest = rig.arbiter.watch.position
    for k in range(40):
        if k < 5 or k > 30:  # a person who falls silent for 250 ms
            rig.arbiter.on_human(rest, rig.now)
        now = rig.tick()
        told.decided(before, now)
        before = now
    assert before.authority == "human"
    messages = [reporter.health(rig.arbiter, before, told).message for _ in range(2)]
    assert "teleop target is" in messages[0] and messages[1] == "ok"

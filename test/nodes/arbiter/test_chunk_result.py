"""A chunk that the arbiter refused binds none of those after it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from policy_rig import Robot, served, write_bundle

from arfm_ros.core.chunks.chunking import KEPT, Chunking
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.core.values.spec import Rtc
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.convert import diagnostics_to_info, time_to_ns
from arfm_ros.nodes.ros.verdict import Verdict, diagnostics_to_verdict, verdict_to_diagnostics

MS = 1_000_000
DT = 50 * MS


def chunk(stamp_ms: int) -> ActionChunk:
    actions = np.full((16, 2), stamp_ms, np.float32)
    return ActionChunk(actions, stamp_ms * MS, DT, ("a", "b"))


def sent(*stamps_ms: int) -> Chunking:
    chunking = Chunking(Rtc("guided", 0, 12))
    for stamp in stamps_ms:
        chunking.took_over(chunk(stamp), "lift", stamp * MS + DT)
    return chunking


def binding(chunking: Chunking, at_ms: int) -> float | None:
    found = chunking.prefix(at_ms * MS, "lift")
    return None if found is None else float(found.actions[0, 0])


def test_without_an_answer_the_newest_chunk_binds() -> None:
    assert binding(sent(1000, 1100, 1200), 1300) == 1200


def test_after_a_refusal_the_one_before_binds_again_and_then_none() -> None:
    chunking = sent(1000, 1100)
    chunking.refuse(1100 * MS)
    assert binding(chunking, 1200) == 1000
    chunking.refuse(1000 * MS)
    assert binding(chunking, 1200) is None


def test_the_one_before_a_refused_chunk_binds_no_longer_than_it_lasts() -> None:
    chunking = sent(1000, 1700)
    chunking.refuse(1700 * MS)
    assert binding(chunking, 1750) == 1000
    assert binding(chunking, 1800) is None


def test_what_an_accepted_chunk_replaced_never_comes_back() -> None:
    chunking = sent(1000, 1100, 1200)
    chunking.accept(1100 * MS)
    chunking.refuse(1200 * MS)
    assert binding(chunking, 1250) == 1100
    chunking.refuse(1100 * MS)
    assert binding(chunking, 1250) is None


def test_an_answer_about_a_chunk_that_is_not_ours_changes_nothing() -> None:
    chunking = sent(1000, 1100)
    chunking.refuse(77)
    chunking.accept(77)
    assert binding(chunking, 1200) == 1100 and not chunking.knows(77)


def test_what_is_remembered_is_bounded() -> None:
    chunking = sent(*range(1000, 1100))
    assert sum(chunking.knows(ms * MS) for ms in range(1000, 1100)) == KEPT


def test_a_verdict_is_read_as_it_was_written() -> None:
    for verdict in (Verdict(5, True, "", 3), Verdict(2**61, False, "too old", 0)):
        assert diagnostics_to_verdict(verdict_to_diagnostics(verdict)) == verdict
    assert diagnostics_to_verdict(topics.interface(topics.DIAGNOSTICS.type_name)()) is None


class Judge:
    """The arbiter's answers, given to every chunk that the robot hears."""

    def __init__(self, robot: Robot) -> None:
        self.robot, self.reason, self.refused = robot, "", set[int]()
        self._out = topics.publisher(robot.node, topics.CHUNK_RESULT)
        topics.subscription(robot.node, topics.ACTION_CHUNK, self._on_chunk)

    def _on_chunk(self, message: object) -> None:
        stamp_ns, reason = time_to_ns(message.header.stamp), self.reason  # type: ignore[attr-defined]
        if reason:
            self.refused.add(stamp_ns)
        self._out.publish(verdict_to_diagnostics(Verdict(stamp_ns, not reason, reason)))


def test_the_node_follows_on_from_no_refused_chunk_and_says_that_it_was(
    ros_domain: int, tmp_path: Path
) -> None:
    bundle = write_bundle(tmp_path / "guided", guided=True)
    with served(bundle, ros_domain) as robot:
        judge = Judge(robot)
        robot.instruct("lift the cube")
        robot.until(lambda: any(diagnostics_to_info(one)[0].guided for one in robot.infos))
        judge.reason = "too old"
        robot.until(lambda: len(judge.refused) >= 1)
        robot.hears("the arbiter refused the last chunk: too old")
        # Once the last accepted chunk has ended, nothing is left that could bind.
        since = len(robot.infos)
        robot.until(lambda: len(robot.infos) >= since + 12)
        guided = [diagnostics_to_info(one)[0].guided for one in list(robot.infos)[since:]]
        assert not any(guided[-3:])
        assert int(robot.health[-1][2]["chunks_refused"]) >= 5
        judge.reason = ""
        since = len(robot.infos)
        robot.until(lambda: any(diagnostics_to_info(one)[0].guided for one in robot.infos[since:]))
        robot.hears("ok")

"""The simulated robot ahead of a clock that the test turns."""

from functools import partial
from random import Random
from threading import Event, Thread

import numpy as np
import pytest

from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.sim.pace import Pace
from arfm_ros.sim.timeline import Instant, Timeline
from arfm_ros.sim.world import World

MS = 1_000_000
TICK_NS = 2 * MS


class Log:
    """What was sent: when, of which instant."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.sent: list[tuple[int, Instant, object]] = []

    def send(self, instant: Instant, what: object = None) -> None:
        self.sent.append((self.now_ns, instant, what))


def timeline_of(lookahead_ns: int) -> Timeline:
    return Timeline(Pace(TICK_NS, now_ns=0), lookahead_ns)


@pytest.mark.parametrize("lookahead_ns", [0, 2 * MS, 12 * MS, 50 * MS])
def test_everything_is_sent_at_its_own_instant_and_in_order(lookahead_ns):
    timeline, log = timeline_of(lookahead_ns), Log()
    for log.now_ns in range(0, 400 * MS, MS // 2):
        instant = timeline.tick(log.now_ns)
        if instant is not None:
            assert instant.due_ns - log.now_ns == lookahead_ns
            timeline.post(instant, [partial(log.send, instant)])
    assert len(log.sent) > 170
    assert all(now_ns == instant.due_ns for now_ns, instant, _ in log.sent)
    stamps = [instant.due_ns for _, instant, _ in log.sent]
    assert np.all(np.diff(stamps) == TICK_NS)


def test_state_posted_before_an_image_of_the_same_instant_is_sent_before_it():
    timeline, log = timeline_of(4 * MS), Log()
    first, second = timeline.tick(2 * MS), timeline.tick(4 * MS)
    assert first is not None and second is not None
    for instant, what in ((second, "state"), (first, "state"), (first, "image")):
        timeline.post(instant, [partial(log.send, instant, what)])
    timeline.tick(100 * MS)
    assert [what for *_, what in log.sent] == ["state", "image", "state"]
    assert log.sent[0][1] == log.sent[1][1] == first


def test_what_is_posted_after_its_instant_is_sent_at_once_and_told():
    timeline, log = timeline_of(12 * MS), Log()
    instant = timeline.tick(2 * MS)
    assert instant is not None and instant.due_ns == 14 * MS
    timeline.tick(15 * MS)
    assert timeline.post(instant, [partial(log.send, instant)])
    assert len(log.sent) == 1


def test_a_lookahead_between_two_ticks_is_rounded_up():
    assert timeline_of(11 * MS).lookahead_ns == 12 * MS
    assert timeline_of(0).lookahead_ns == 0


@pytest.mark.parametrize("seed", range(20))
def test_over_restarts_stamps_never_go_back_and_nothing_old_is_sent(seed):
    random = Random(seed)
    timeline, log = timeline_of(random.choice((0, 2, 12, 40)) * MS), Log()
    slow: list[Instant] = []  # as a renderer that keeps instants for a while
    episode = 0
    for _ in range(3000):
        log.now_ns += random.choice((
            MS // 3,
            MS,
            3 * MS,
            30 * MS if random.random() < 0.01 else 0,
        ))
        before = len(log.sent)
        instant = timeline.tick(log.now_ns)
        if random.random() < 0.01:
            told, episode = timeline.restart(log.now_ns), episode + 1
            if told is not None:
                assert log.now_ns < told.due_ns <= log.now_ns + 2 * TICK_NS
                timeline.post(told, [partial(log.send, told)])
            before = len(log.sent)
        if instant is not None:
            timeline.post(instant, [partial(log.send, instant)])
            slow.append(instant)
        if len(slow) > 10 and random.random() < 0.1:
            timeline.post(slow[0], [partial(log.send, slow[0], "image")])
            slow.clear()
        assert all(one.episode == episode for _, one, _ in log.sent[before:])
    stamps = [instant.due_ns for _, instant, what in log.sent if what is None]
    assert episode > 5 and np.all(np.diff(stamps) > 0)
    assert all(now_ns >= instant.due_ns for now_ns, instant, _ in log.sent)


def test_a_restart_leaves_no_gap_in_the_stream():
    timeline, log = timeline_of(12 * MS), Log()
    for log.now_ns in range(0, 200 * MS, MS):
        instant = timeline.tick(log.now_ns)
        if log.now_ns % (37 * MS) == 0:
            told = timeline.restart(log.now_ns)
            assert told is not None
            timeline.post(told, [partial(log.send, told)])
        if instant is not None:
            timeline.post(instant, [partial(log.send, instant)])
    gaps = np.diff([now_ns for now_ns, *_ in log.sent])
    assert gaps.max() < 20 * MS


def first_motion_ns(lookahead_ns: int, commanded_ns: int) -> int:
    """Send a joint target at a time; return the stamp of the first state that shows it."""
    world, timeline, log = World(), timeline_of(lookahead_ns), Log()
    for log.now_ns in range(0, commanded_ns + lookahead_ns + 20 * MS, MS):
        if log.now_ns == commanded_ns:
            world.command_joints(np.asarray(fr3.HOME) + 0.1)
        instant = timeline.tick(log.now_ns)
        if instant is not None:
            world.step(TICK_NS // MS)
            state = world.robot_state().position
            timeline.post(instant, [partial(log.send, instant, state)])
    rest = log.sent[0][2]
    moved = (one for _, one, at in log.sent if np.abs(np.subtract(at, rest)).max() > 1e-5)
    return next(moved).due_ns


@pytest.mark.parametrize("lookahead_ns", [2 * MS, 12 * MS, 30 * MS])
def test_a_command_acts_later_by_the_lookahead_and_by_nothing_else(lookahead_ns):
    commanded_ns = 51 * MS
    at_once_ns = first_motion_ns(0, commanded_ns)
    assert commanded_ns < at_once_ns <= commanded_ns + 6 * MS
    assert first_motion_ns(lookahead_ns, commanded_ns) == at_once_ns + lookahead_ns


def test_a_slow_message_leaves_after_what_the_tick_sends_and_keeps_no_tick_waiting():
    timeline, log = timeline_of(12 * MS), Log()
    instant = timeline.tick(2 * MS)
    assert instant is not None
    inside, leave = Event(), Event()

    def slow() -> None:
        inside.set()
        assert leave.wait(5.0)
        log.send(instant, "image")

    assert not timeline.post_slow(instant, [slow])
    timeline.post(instant, [partial(log.send, instant, "state")])
    timeline.send_slow(0.0)
    assert not log.sent and not inside.is_set()  # not yet due
    timeline.tick(instant.due_ns)
    sender = Thread(target=timeline.send_slow, args=(1.0,))
    sender.start()
    assert inside.wait(5.0)
    assert timeline.tick(instant.due_ns + TICK_NS) is not None  # while it is being sent
    leave.set()
    sender.join(5.0)
    assert [what for *_, what in log.sent] == ["state", "image"]


def test_a_slow_message_of_an_episode_that_ended_is_not_sent():
    timeline, log = timeline_of(0), Log()
    instant = timeline.tick(2 * MS)
    assert instant is not None
    timeline.post_slow(instant, [partial(log.send, instant)])
    timeline.restart(3 * MS)
    timeline.send_slow(0.0)
    assert not timeline.post_slow(instant, [partial(log.send, instant)])
    timeline.send_slow(0.0)
    assert not log.sent

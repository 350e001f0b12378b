"""Deadlines on a clock that the test turns."""

from arfm_ros.sim.pace import ClockOffset, Divider, Pace

MS = 1_000_000


def test_ticks_follow_the_clock_without_drift_when_each_wake_up_is_late():
    pace = Pace(2 * MS, now_ns=0)
    now, ran = 0, 0
    while now < 1000 * MS:
        now += int(pace.wait_s(now) * 1e9) + 300_000  # every sleep is 0.3 ms too long
        ran += pace.tick(now)
    assert abs(ran - 500) <= 1 and pace.dropped == 0
    assert pace.deadline_ns == ran * 2 * MS


def test_before_its_deadline_no_tick_is_due():
    pace = Pace(2 * MS, now_ns=10)
    assert not pace.tick(2 * MS)
    assert pace.tick(2 * MS + 10) and not pace.tick(2 * MS + 10)


def test_a_short_stall_is_caught_up_and_counted():
    pace = Pace(2 * MS, now_ns=0)
    now = 20 * MS
    ran = sum(pace.tick(now) for _ in range(50))
    assert ran == 10 and pace.overruns > 0 and pace.dropped == 0


def test_after_a_long_stall_the_missed_ticks_are_given_up_and_counted():
    pace = Pace(2 * MS, now_ns=0, behind_max_ns=100 * MS)
    now = 1000 * MS
    ran = sum(pace.tick(now) for _ in range(1000))
    assert ran + pace.dropped == 500 and ran <= 2
    assert pace.tick(now + 2 * MS)


def test_a_divider_gives_every_sample_of_its_rate_and_no_more():
    divider = Divider(30.0)
    count = sum(divider.due(step * 2 * MS) for step in range(5000))  # ten seconds
    assert count == 300


def test_the_offset_between_two_clocks_survives_being_put_aside_between_the_reads():
    now = [0]
    sleeps = iter(
        [0, 90 * MS, 0, 0, 50 * MS, 0] * 10
    )  # before and after a read of the other clock

    def steady_ns() -> int:
        now[0] += next(sleeps)
        return now[0]

    offset = ClockOffset(steady_ns, lambda: now[0] + 12345)
    assert offset.offset_ns == 12345

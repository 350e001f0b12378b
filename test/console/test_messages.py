"""What a page may send, and what it may not."""

from __future__ import annotations

import pytest

from arfm_ros.console.clock import NS, WINDOW_NS, PageClock
from arfm_ros.console.messages import (
    SIZE_MAX,
    TEXT_MAX,
    Budget,
    PageError,
    number_of,
    read_message,
    text_of,
)
from arfm_ros.console.pace import AHEAD, Pace

MS = 1_000_000


@pytest.mark.parametrize(
    "text",
    [b'{"do": "take"}', "", "no", "[]", "3", "{}", '{"do": 3}', '{"do": "drive", "at": NaN}',
     '{"do": "x", "a": Infinity}', "[" * 9000, '{"do": "' + "x" * SIZE_MAX + '"}'],
)  # fmt: skip
def test_what_is_no_message_is_refused(text: str | bytes) -> None:
    with pytest.raises(PageError):
        read_message(text)


@pytest.mark.parametrize("value", [None, True, "1", [1], float("inf"), 10**400])
def test_a_number_is_finite(value: object) -> None:
    with pytest.raises(PageError):
        number_of({"x": value}, "x")
    with pytest.raises(PageError):
        number_of({}, "x")


def test_a_number_is_cut_at_its_limit() -> None:
    assert number_of({"x": -1e300}, "x", 1.0) == -1.0
    assert number_of(read_message('{"do": "a", "x": 3}'), "x") == 3.0


def test_texts_keep_their_letters_and_lose_what_cannot_be_printed() -> None:
    assert (
        text_of({"t": "  nach links \u2190 \U0001f916\n\x00"}, "t")
        == "nach links \u2190 \U0001f916"
    )
    assert text_of({"t": "a\ud800b"}, "t") == "a?b"
    for wrong in (3, None, "x" * (TEXT_MAX + 1)):
        with pytest.raises(PageError):
            text_of({"t": wrong}, "t")


def test_a_flood_is_cut_to_its_rate_and_ends_the_connection() -> None:
    budget, taken = Budget(), 0
    for k in range(1000):  # 1 kHz
        taken += budget.take(k * MS)
    assert 280 <= taken <= 310 and not budget.spent
    for k in range(1000, 4000):
        budget.take(k * MS)
    assert budget.spent


def test_twice_the_page_s_own_rate_is_never_cut() -> None:
    budget = Budget()
    assert all(budget.take(k * 15 * MS) for k in range(2000)) and budget.strikes == 0


def test_nonsense_ends_a_connection_too() -> None:
    budget = Budget()
    for _ in range(20):
        assert not budget.spent
        budget.nonsense()
    assert budget.spent


def test_a_message_that_was_held_up_is_as_old_as_its_delay() -> None:
    clock = PageClock()
    for k in range(100):
        delay_ms = 2 + (k % 5)
        assert clock.stamp_ns(30.0 * k, (30 * k + delay_ms) * MS + 7 * NS) <= 7 * NS + NS * 4
    late_ns = (30 * 100 + 500) * MS + 7 * NS
    assert abs(late_ns - clock.stamp_ns(30.0 * 100, late_ns) - 498 * MS) < MS


def test_a_clock_that_drifts_does_not_make_messages_late_for_ever() -> None:
    clock, age = PageClock(), 0
    for k in range(0, 600):
        now_ns = NS + k * NS // 2
        page_ms = k * 500.0 * (1 - 1e-4)  # a clock that loses 0.1 ms a second
        age = now_ns - clock.stamp_ns(page_ms, now_ns)
    assert age <= WINDOW_NS * 1.1e-4


def test_pictures_come_as_fast_as_they_are_shown() -> None:
    pace, sent = Pace(max_hz=1000.0), 0
    for k in range(1, 100):
        sent += pace.take(k, k * 10 * MS)
    assert sent == AHEAD  # nobody showed any
    pace.shown()
    assert pace.take(200, NS) and not pace.take(200, NS)
    assert not pace.take(201, 2 * NS)


def test_pictures_come_at_most_at_their_rate() -> None:
    pace, sent = Pace(max_hz=10.0), 0
    for k in range(1000):
        if pace.take(k, k * 5 * MS):
            sent += 1
            pace.shown()
    assert 49 <= sent <= 52

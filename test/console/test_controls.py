"""One holds the controls; taking them is explicit and they run out."""

from __future__ import annotations

from arfm_ros.console.controls import IDLE_NS, NS, SILENT_NS, Controls


def test_only_who_took_the_controls_may_command() -> None:
    controls = Controls()
    assert "take the controls" in controls.refusal(1, 0)
    assert controls.take(1, 0) == ""
    assert controls.refusal(1, NS) == ""
    assert "operator 1" in controls.refusal(2, NS)


def test_a_second_operator_waits_for_the_first_or_for_its_idleness() -> None:
    controls = Controls()
    controls.take(1, 0)
    for t in range(0, IDLE_NS, NS):
        controls.hear(1, t)
        assert "operator 1" in controls.take(2, t)
    controls.hear(1, IDLE_NS)
    assert controls.take(2, IDLE_NS) == ""
    assert controls.holder == 2


def test_what_the_holder_does_keeps_the_controls() -> None:
    controls = Controls()
    controls.take(1, 0)
    for t in range(0, 3 * IDLE_NS, NS):
        controls.hear(1, t, acted=True)
    assert "operator 1" in controls.take(2, 3 * IDLE_NS - NS)


def test_silence_loses_them_and_nobody_gets_them_by_itself() -> None:
    controls = Controls()
    controls.take(1, 0)
    controls.expire(SILENT_NS)
    assert controls.holder == 1
    controls.expire(SILENT_NS + 1)
    assert controls.holder == 0
    controls.hear(1, SILENT_NS + 2, acted=True)
    assert controls.refusal(1, SILENT_NS + 2) != ""


def test_whoever_watches_cannot_lay_down_what_it_does_not_hold() -> None:
    controls = Controls()
    controls.take(1, 0)
    controls.leave(2)
    assert controls.holder == 1
    controls.leave(1)
    assert controls.holder == 0

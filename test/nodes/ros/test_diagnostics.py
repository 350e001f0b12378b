"""Health as a diagnostic status."""

from __future__ import annotations

from arfm_ros.nodes.ros.diagnostics import ERROR, Health, status


def test_health_becomes_level_message_and_text_values():
    health = Health(ERROR, "camera wrist: nothing for 0.8 s", {"rate_hz": 29.97002997, "n": 3})
    made = status("policy_node: health", health)
    assert (made.level, made.message) == (b"\x02", "camera wrist: nothing for 0.8 s")
    assert {v.key: v.value for v in made.values} == {"rate_hz": "29.97", "n": "3"}

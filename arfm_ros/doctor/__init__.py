"""`arfm doctor`: one finding per thing a first user trips over, each with its fix."""

from __future__ import annotations

from pathlib import Path

from arfm_ros.doctor.finding import FAIL, OK, WARN, Finding
from arfm_ros.doctor.machine import check_disk, check_gl, check_realtime, check_shared_memory
from arfm_ros.doctor.policy import check_policy
from arfm_ros.doctor.ros import check_dds_profile, check_domain, check_multicast, check_ros

__all__ = ["FAIL", "OK", "WARN", "Finding", "examine"]


def examine(policy: str, out: str) -> list[Finding]:
    """Run all checks; none of them raises."""
    return [
        check_ros(),
        check_dds_profile(),
        check_domain(),
        check_multicast(),
        check_shared_memory(),
        check_gl(),
        check_policy(policy),
        check_disk(Path(out)),
        check_realtime(),
    ]

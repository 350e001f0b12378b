"""Whether to begin with the pictures at hand, or to wait for one that is about to come.

Cameras that take their pictures one shortly after the other give two sets a frame: the picture
that has just come beside the others' of a frame ago, and, a moment later, all of one time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest picture of a camera: when it was taken, how often one is, how late they come."""

    stamp_ns: int
    interval_ns: int  # 0 while unknown
    lag_ns: int


def wait_until_ns(pictures: Mapping[str, Newest], now_ns: int) -> int:
    """Return until when to wait for the next picture of the camera that is behind; 0: begin now.

    Waiting pays where the oldest picture of the set is then newer by more than the wait. A picture
    that is a quarter of an interval overdue is no longer waited for.
    """
    if len(pictures) < 2:
        return 0
    name = min(pictures, key=lambda one: pictures[one].stamp_ns)
    behind = pictures[name]
    others_ns = min(one.stamp_ns for key, one in pictures.items() if key != name)
    next_ns = behind.stamp_ns + behind.interval_ns
    arrives_ns = next_ns + max(behind.lag_ns, 0)
    newer_ns = min(next_ns, others_ns) - behind.stamp_ns
    until_ns = arrives_ns + behind.interval_ns // 4
    pays = newer_ns > behind.interval_ns // 4 + max(arrives_ns - now_ns, 0)
    return until_ns if behind.interval_ns and pays and now_ns < until_ns else 0

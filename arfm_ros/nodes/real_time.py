"""Ask the operating system for punctuality; without the right to it everything runs as before.

The rights are `rtprio` and `nice` in /etc/security/limits.conf.
"""

from __future__ import annotations

import os
from contextlib import suppress

NICENESS = -10
POLITENESS = 5


def raise_process_priority() -> None:
    """Make all threads started from here on less polite: a real-time one waits for their locks."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


def ordinary_priority() -> None:
    """Take the calling thread out of the raised priority of its process."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)


def make_way() -> None:
    """Let those that drive the robot go first: for threads that only watch or write down."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, POLITENESS)


def real_time(priority: int) -> bool:
    """Give the calling thread a SCHED_FIFO priority (0: none); return whether it was granted."""
    if priority == 0 or not hasattr(os, "sched_setscheduler"):
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError:
        return False
    return True

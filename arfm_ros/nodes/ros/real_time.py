"""Ask the operating system for punctuality; without the right to it everything runs as before.

The rights are `rtprio` and `nice` in /etc/security/limits.conf.

Where the kernel groups processes by session (sched_autogroup_enabled, the default of Ubuntu), the
niceness of a process counts within its session only, and each session has the same share of the
processor. A process that leads a session of its own sets the niceness of that group too: see
sched(7), "The autogroup feature".
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

NICENESS = -10
POLITENESS = 5
GROUP = Path("/proc/self/autogroup")


def raise_process_priority() -> None:
    """Make all threads started from here on less polite: a real-time one waits for their locks."""
    _set(NICENESS)
    _set_group(NICENESS)


def ordinary_priority() -> None:
    """Take the calling thread out of the raised priority of its process."""
    _set(0)


def make_way(whole_process: bool = False) -> None:
    """Let those that drive the robot go first: for threads that only watch or write down."""
    _set(POLITENESS)
    if whole_process:
        _set_group(POLITENESS)


def real_time(priority: int) -> bool:
    """Give the calling thread a SCHED_FIFO priority (0: none); return whether it was granted."""
    if priority == 0 or not hasattr(os, "sched_setscheduler"):
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError:
        return False
    return True


def _set(niceness: int) -> None:
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)


def _set_group(niceness: int) -> None:
    """Set the niceness of the session's group, if nobody else is in it."""
    if hasattr(os, "getsid") and os.getsid(0) == os.getpid():
        with suppress(OSError):
            GROUP.write_text(str(niceness))

"""Run a node's module as a child that ends when its supervisor does, even by kill -9.

Usage: python -m arfm_ros.up.child MODULE [arguments]
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
SUPERVISOR_VARIABLE = "ARFM_SUPERVISOR_PID"


def end_with_parent() -> None:
    """Ask the kernel for SIGINT when the parent dies; do nothing where it has no such call."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    except (OSError, AttributeError):
        return
    supervisor = os.environ.get(SUPERVISOR_VARIABLE, "")
    if supervisor and os.getppid() != int(supervisor):
        sys.exit("the supervisor ended before this node began")


def main() -> None:
    """Become the node."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

"""Run a node's module as a child that ends when its supervisor does, even by kill -9.

Usage: python -m arfm_ros.up.stack.child MODULE [arguments]
"""

from __future__ import annotations

import os
import runpy
import signal
import sys

from arfm_ros.workers import end_with_parent

SUPERVISOR_VARIABLE = "ARFM_SUPERVISOR_PID"


def main() -> None:
    """Become the node."""
    end_with_parent(signal.SIGINT, int(os.environ.get(SUPERVISOR_VARIABLE, os.getppid())))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

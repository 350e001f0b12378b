"""SIGTERM and Ctrl-C as a wish: a run stops between two steps and saves."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def stop_on_signal() -> Generator[threading.Event, None, None]:
    """Make SIGTERM and SIGINT set an event; give them back to who had them before."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may
        return
    names = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(name, lambda *_: stop.set()) for name in names]
    try:
        yield stop
    finally:
        for name, handler in zip(names, before):
            signal.signal(name, handler)

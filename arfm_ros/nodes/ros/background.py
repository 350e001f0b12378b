"""Work in threads that never keep the process alive."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

PREFIX = "arfm-"  # of the names of our threads


def in_background(work: Callable[[], T], name: str) -> Future[T]:
    """Begin `work()` in a daemon thread of its own; its result or its error is in the future.

    A pool's threads are waited for when the process ends; one that hangs in a network or in a
    server's answer would outlive `stop`.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  thread border: whoever asks raises it
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name=PREFIX + name, daemon=True).start()
    return future


def one_line(error: BaseException) -> str:
    """Say what an unexpected error is and where it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0] if words else 'without a word'}{where}"


def end_process(code: int) -> int:
    """Return `code`; end the process at once where a background thread is still at work.

    Python would let that thread run on into the interpreter's end, where native code crashes.
    """
    if any(one.name.startswith(PREFIX) for one in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code

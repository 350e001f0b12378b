"""A promise that something is on the disk, kept by the thread that writes."""

from __future__ import annotations

import threading

from arfm_ros.core.errors import EpisodeError


class Ticket:
    """Wait for it outside of any lock that whoever receives messages takes."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._settled = threading.Event()
        self._failure = ""

    def settle(self, failure: str = "") -> None:
        """Say that it is on the disk, or why it never will be. The first word counts."""
        if not self._settled.is_set():
            self._failure = failure
            self._settled.set()

    def wait(self, timeout_s: float) -> None:
        """Return once it is on the disk; raise `EpisodeError` where it is not within the time."""
        if not self._settled.wait(timeout_s):
            raise EpisodeError(
                f"{self._what} is not on the disk after {timeout_s:g} s: the disk is too slow; it "
                "will be written if the disk goes on"
            )
        if self._failure:
            raise EpisodeError(f"{self._what} was not written: {self._failure}")

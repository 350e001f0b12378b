"""Where the robot was: samples of its states, some of them, for seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")
SPACING_NS = 10_000_000  # of two samples that are kept
SPAN_NS = 10_000_000_000


class StatePath(Generic[T]):
    """Keep a sample of each source every `spacing_ns`, for `span_ns`; not thread-safe.

    What is kept for the next observation is a fraction of a second: a motion between two
    observations that are further apart is found here.
    """

    def __init__(
        self, names: Iterable[str], spacing_ns: int = SPACING_NS, span_ns: int = SPAN_NS
    ) -> None:
        most = max(1, span_ns // max(spacing_ns, 1))
        self._spacing_ns = spacing_ns
        self._tracks: dict[str, deque[tuple[int, T]]] = {
            name: deque(maxlen=most) for name in names
        }

    def add(self, name: str, stamp_ns: int, value: T) -> None:
        """Take a sample; one that comes too soon, or of no source of this path, is not kept.

        A stamp from before the newest by more than the spacing begins the source anew.
        """
        track = self._tracks.get(name)
        if track is None:
            return
        if track and stamp_ns < track[-1][0] - self._spacing_ns:
            track.clear()
        if not track or stamp_ns >= track[-1][0] + self._spacing_ns:
            track.append((stamp_ns, value))

    def between(self, since_ns: int, until_ns: int) -> list[tuple[int, Mapping[str, T]]]:
        """Give what all sources said at times after `since_ns`, before `until_ns`, in order."""
        events = [
            (stamp_ns, name, value)
            for name, track in self._tracks.items()
            for stamp_ns, value in track
            if stamp_ns < until_ns
        ]
        events.sort(key=lambda event: event[:2])
        now: dict[str, T] = {}
        found: list[tuple[int, Mapping[str, T]]] = []
        for stamp_ns, name, value in events:
            now[name] = value
            if stamp_ns > since_ns and len(now) == len(self._tracks):
                found.append((stamp_ns, dict(now)))
        return found

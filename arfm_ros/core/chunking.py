"""What binds the next chunk: the one in force, and how late chunks really take over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from arfm_ros.core.data import ActionChunk
from arfm_ros.core.rtc import left_over
from arfm_ros.core.spec import PolicySpec, Rtc

WINDOW = 5  # chunks whose slowest says how late the next one will be
UNKNOWN = 1  # ticks assumed while no delay was seen
KEPT = 8  # chunks that one without an answer may still be refused among


@dataclass(frozen=True, slots=True)
class _Sent:
    """A chunk, and the instruction that it was computed for."""

    chunk: ActionChunk
    instruction: str


class Chunking:
    """Keep the previous chunks and the delay for one policy; one thread uses it.

    A chunk counts as followed until whoever executes it says no: a refused one is forgotten, and
    the one before it, which is still in force, binds again. The delay is counted in control ticks
    between an observation and the swap to its chunk, the tick under way included. The first chunk
    does not count: it is computed cold.
    """

    def __init__(self, rtc: Rtc) -> None:
        self.in_force = True  # False: somebody else drives, so that no chunk binds the next
        self._rtc = rtc
        self._sent: deque[_Sent] = deque(maxlen=KEPT)  # the newest last
        self._delays: deque[int] = deque(maxlen=WINDOW)
        self._cold = True

    @property
    def delay(self) -> int:
        """Ticks that the next chunk is expected to be late."""
        return max(self._delays, default=UNKNOWN)

    @property
    def previous(self) -> ActionChunk | None:
        """The chunk in force."""
        return self._sent[-1].chunk if self._sent else None

    @property
    def trouble(self) -> str:
        """Why chunks are computed one after the other at rest; '' while they are not."""
        if self._rtc.mode == "none" or self.delay <= self._rtc.delay_max:
            return ""
        return (
            f"chunks come {self.delay} ticks late, the policy takes {self._rtc.delay_max}: "
            "waiting at the end of each (fewer steps or a faster machine helps)"
        )

    def follow(self, spec: PolicySpec) -> None:
        """Go on with another policy; a chunk that it could not have made does not bind it."""
        self._rtc = spec.rtc
        self._keep(lambda chunk: _could_make(spec, chunk))

    def refuse(self, stamp_ns: int) -> None:
        """Forget the chunk of an observation: nobody follows it."""
        self._keep(lambda chunk: chunk.stamp_ns != stamp_ns)

    def accept(self, stamp_ns: int) -> None:
        """Forget what came before the chunk of an observation: that one replaced it."""
        if self.knows(stamp_ns):
            while self._sent[0].chunk.stamp_ns != stamp_ns:
                self._sent.popleft()

    def knows(self, stamp_ns: int) -> bool:
        """Tell whether the chunk of an observation may still be followed."""
        return any(one.chunk.stamp_ns == stamp_ns for one in self._sent)

    def ready(self, stamp_ns: int) -> bool:
        """Tell whether to infer from an observation; not before the end of a chunk if too slow."""
        previous = self.previous
        waits = self.trouble and self.in_force and previous is not None
        return not waits or previous is None or not previous.stamp_ns <= stamp_ns < previous.end_ns

    def prefix(self, stamp_ns: int, instruction: str) -> ActionChunk | None:
        """Return what binds the chunk of an observation, None if nothing does.

        Under another instruction only what will have been executed does, not the old intention.
        """
        previous = self.previous
        if previous is None or self._rtc.mode == "none" or not self.in_force or self.trouble:
            return None
        if not previous.stamp_ns <= stamp_ns <= previous.end_ns - previous.dt_ns:
            return None
        delay = max(self.delay, self._rtc.delay_min)
        keep = None if instruction == self._sent[-1].instruction else delay
        return left_over(previous, stamp_ns, delay, keep)

    def took_over(self, chunk: ActionChunk, instruction: str, swap_ns: int) -> None:
        """Note that `chunk` replaced the previous one at `swap_ns` of the clock of its stamp."""
        if not self._cold:
            self._delays.append(max(-(-(swap_ns - chunk.stamp_ns) // chunk.dt_ns), 0))
        self._sent.append(_Sent(chunk, instruction))
        self._cold = False

    def _keep(self, fits: Callable[[ActionChunk], bool]) -> None:
        self._sent = deque((one for one in self._sent if fits(one.chunk)), maxlen=KEPT)


def _could_make(spec: PolicySpec, chunk: ActionChunk) -> bool:
    same = chunk.names == spec.action_names and chunk.dt_ns == spec.dt_ns
    return same and chunk.horizon <= spec.horizon

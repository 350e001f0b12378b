"""What binds the next chunk: the one in force, and how late chunks really take over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from arfm_ros.core.chunks.rtc import left_over
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.core.values.spec import PolicySpec, Rtc

WINDOW = 5  # chunks whose slowest says how late the next one will be
UNKNOWN = 1  # ticks assumed while no delay was seen
KEPT = 8  # chunks that one without an answer may still be refused among


@dataclass(frozen=True, slots=True)
class _Sent:
    """A chunk as it is played, the instruction it was computed for, and how it was computed."""

    chunk: ActionChunk
    instruction: str
    observed_ns: int
    dt_ns: int


class Chunking:
    """Keep the previous chunks and the delay for one policy; one thread uses it.

    A chunk counts as followed until whoever executes it says no: a refused one is forgotten, and
    the one before it, which is still in force, binds again. The delay is counted in control ticks
    between an observation and the swap to its chunk, the tick under way included. The first chunk
    does not count: it is computed cold.
    """

    def __init__(self, rtc: Rtc) -> None:
        self.ahead_ns = 0  # a chunk takes over where its path is so much after its arrival
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
        self._keep(lambda one: one.dt_ns == spec.dt_ns and _could_make(spec, one.chunk))

    def refuse(self, stamp_ns: int) -> None:
        """Forget the chunk of an observation: nobody follows it."""
        self._keep(lambda one: one.observed_ns != stamp_ns)

    def accept(self, stamp_ns: int, begin_ns: int = 0, dt_ns: int = 0) -> None:
        """Forget what came before the chunk of an observation: that one replaced it.

        It is played from `begin_ns` on, an action every `dt_ns`; 0: as it says itself.
        """
        if not self.knows(stamp_ns):
            return
        while self._sent[0].observed_ns != stamp_ns:
            self._sent.popleft()
        one = self._sent[0]
        played = replace(
            one.chunk,
            stamp_ns=begin_ns or one.chunk.stamp_ns,
            dt_ns=dt_ns or one.chunk.dt_ns,
        )
        self._sent[0] = replace(one, chunk=played)

    def knows(self, stamp_ns: int) -> bool:
        """Tell whether the chunk of an observation may still be followed."""
        return any(one.observed_ns == stamp_ns for one in self._sent)

    def ready(self, stamp_ns: int) -> bool:
        """Tell whether to infer from an observation; not before the end of a chunk if too slow."""
        previous = self.previous
        waits = self.trouble and self.in_force and previous is not None
        return not waits or previous is None or not previous.stamp_ns <= stamp_ns < previous.end_ns

    def prefix(self, stamp_ns: int, instruction: str, period_ns: int = 0) -> ActionChunk | None:
        """Return what binds the chunk of an observation, None if nothing does.

        What is executed before the next chunk, `period_ns` later, can replace it binds as well as
        what is executed before this one comes: without a delay too a chunk follows on. Under
        another instruction only what will have been executed does, not the old intention.
        """
        previous = self.previous
        if previous is None or self._rtc.mode == "none" or not self.in_force or self.trouble:
            return None
        if not self._sent[-1].observed_ns <= stamp_ns <= previous.end_ns - previous.dt_ns:
            return None
        from_ns = max(stamp_ns, previous.stamp_ns)  # one that begins from rest binds already
        until_next = min(-(-period_ns // previous.dt_ns), self._rtc.delay_max)
        delay = max(self.delay, self._rtc.delay_min, until_next)
        keep = None if instruction == self._sent[-1].instruction else delay
        left = left_over(previous, from_ns, delay, keep)
        # on the network's own time line
        return replace(left, stamp_ns=stamp_ns, dt_ns=self._sent[-1].dt_ns)

    def took_over(self, chunk: ActionChunk, instruction: str, swap_ns: int) -> None:
        """Note that `chunk` came to replace the previous one at `swap_ns`, clock of its stamp."""
        if not self._cold:
            late_ns = swap_ns + self.ahead_ns - chunk.stamp_ns
            self._delays.append(max(-(-late_ns // chunk.dt_ns), 0))
        self._sent.append(_Sent(chunk, instruction, chunk.stamp_ns, chunk.dt_ns))
        self._cold = False

    def _keep(self, fits: Callable[[_Sent], bool]) -> None:
        self._sent = deque((one for one in self._sent if fits(one)), maxlen=KEPT)


def _could_make(spec: PolicySpec, chunk: ActionChunk) -> bool:
    return chunk.names == spec.action_names and chunk.horizon <= spec.horizon

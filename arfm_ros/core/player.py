"""Play action chunks by time: action k is due at `stamp + (k + 1) * dt`, whenever it arrives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arfm_ros.core.data import ActionChunk
from arfm_ros.core.safety import F64, Target

NS = 1_000_000_000
LONG_AGO = -(2**62)


def monotone_slopes(knots: F64, dt_s: float) -> F64:
    """Slopes [K, A] of a C1 cubic through `knots` [K, A] that never overshoots between them.

    Central differences, limited by Fritsch & Carlson (1980): 0 at a local extremum, at most three
    times the smaller neighbouring difference. The last slope is 0: a path ends at rest.
    """
    slopes = np.zeros_like(knots)
    difference = np.diff(knots, axis=0) / dt_s
    left, right = difference[:-1], difference[1:]
    bound = 3.0 * np.minimum(np.abs(left), np.abs(right))
    central = np.clip(0.5 * (left + right), -bound, bound)
    slopes[0] = difference[0]
    slopes[1:-1] = np.where(left * right > 0.0, central, 0.0)
    return slopes


class Spline:
    """The path of one chunk from the command at its stamp through its actions [H, A]."""

    def __init__(self, actions: F64, start: F64, stamp_ns: int, dt_ns: int) -> None:
        self.stamp_ns = stamp_ns
        self.dt_ns = dt_ns
        self.knots: F64 = np.vstack([start, actions])
        self.slopes = monotone_slopes(self.knots, dt_ns / NS)
        backwards = self.knots[::-1]
        self._low = np.minimum.accumulate(backwards)[::-1]  # [k]: of knots k and later
        self._high = np.maximum.accumulate(backwards)[::-1]

    @property
    def end_ns(self) -> int:
        """Time of the last action."""
        return self.stamp_ns + (len(self.knots) - 1) * self.dt_ns

    def at(self, now_ns: int) -> Target:
        """Position, velocity and hull of the path ahead at `now_ns`; at rest outside its span."""
        last = len(self.knots) - 1
        if now_ns >= self.end_ns:
            end = self.knots[last]
            return Target(end, np.zeros_like(end), end, end, ended=True)
        k, into_ns = divmod(max(now_ns - self.stamp_ns, 0), self.dt_ns)
        dt = self.dt_ns / NS
        position, velocity = _hermite(self.knots, self.slopes, k, into_ns / self.dt_ns, dt)
        if now_ns < self.stamp_ns:
            velocity = np.zeros_like(position)
        low = np.minimum(position, self._low[k + 1])
        return Target(position, velocity, low, np.maximum(position, self._high[k + 1]))


def _hermite(knots: F64, slopes: F64, k: int, s: float, dt_s: float) -> tuple[F64, F64]:
    """Value and time derivative of the cubic between knots k and k + 1 at s in 0..1."""
    p0, p1, m0, m1 = knots[k], knots[k + 1], slopes[k] * dt_s, slopes[k + 1] * dt_s
    rise = p1 - p0
    a, b = m0 + m1 - 2 * rise, 3 * rise - 2 * m0 - m1
    position = ((a * s + b) * s + m0) * s + p0
    velocity = ((3 * a * s + 2 * b) * s + m0) / dt_s
    return position, velocity


@dataclass(frozen=True, slots=True, eq=False)
class Fade:
    """A difference that dies away: cubic from (offset, rate) at `begin_ns` to rest at 0."""

    offset: F64  # [A]
    rate: F64  # [A], per second
    begin_ns: int
    duration_ns: int

    def at(self, now_ns: int) -> tuple[F64, F64]:
        """Difference [A] and its time derivative [A] at `now_ns`."""
        zero = np.zeros_like(self.offset)
        if now_ns >= self.begin_ns + self.duration_ns:
            return zero, zero
        s = max(now_ns - self.begin_ns, 0) / self.duration_ns
        knots, slopes = np.stack([self.offset, zero]), np.stack([self.rate, zero])
        return _hermite(knots, slopes, 0, s, self.duration_ns / NS)

    def add_to(self, target: Target, now_ns: int) -> Target:
        """Shift `target` by what is left of the difference; its hull grows to contain it."""
        offset, rate = self.at(now_ns)
        position = target.position + offset
        low = None if target.low is None else np.minimum(target.low, position)
        high = None if target.high is None else np.maximum(target.high, position)
        ended = target.ended and not offset.any()
        return Target(position, target.velocity + rate, low, high, ended)


def fade_between(in_force: Target, new: Target, begin_ns: int, duration_ns: int) -> Fade:
    """Return the fade that turns `new` into a smooth continuation of `in_force`."""
    offset = in_force.position - new.position
    return Fade(offset, in_force.velocity - new.velocity, begin_ns, duration_ns)


class ChunkPlayer:
    """Follow the newest observation's chunk, with no jump where one chunk takes over.

    The difference between the command in force and a new chunk fades out over `blend_ns` (C1).
    """

    def __init__(self, blend_ns: int = 100_000_000, future_max_ns: int = 100_000_000) -> None:
        self._blend_ns = blend_ns
        self._future_max_ns = future_max_ns
        self._spline: Spline | None = None
        self._fade: Fade | None = None
        self._floor_ns = LONG_AGO
        self.chunk: ActionChunk | None = None

    @property
    def path(self) -> Spline | None:
        """Path of the chunk in force, without the fade from what was before."""
        return self._spline

    def add(self, chunk: ActionChunk, now_ns: int, start: Target | None = None) -> str:
        """Take over `chunk` from `now_ns` on; return '' or why it was refused.

        `start` is the command in force at `now_ns`; without it the player's own command counts,
        and with nothing playing the first action.
        """
        refusal = self._refusal(chunk, now_ns)
        if refusal:
            return refusal
        in_force = start or self.command(now_ns)
        actions = np.asarray(chunk.actions, dtype=np.float64)
        first = actions[0] if in_force is None else in_force.position
        # what was commanded when the observation was taken; the fade covers the rest
        if self._spline is not None and self._spline.stamp_ns <= chunk.stamp_ns <= now_ns:
            first = self._spline.at(chunk.stamp_ns).position
        spline = Spline(actions, first, chunk.stamp_ns, chunk.dt_ns)
        if in_force is not None and self._blend_ns > 0:
            self._fade = fade_between(in_force, spline.at(now_ns), now_ns, self._blend_ns)
        self._spline, self.chunk = spline, chunk
        return ""

    def command(self, now_ns: int) -> Target | None:
        """Return where the chunk in force is at `now_ns`, its end when over; None without one."""
        if self._spline is None:
            return None
        target = self._spline.at(now_ns)
        return target if self._fade is None else self._fade.add_to(target, now_ns)

    def clear(self, floor_ns: int) -> None:
        """Drop the chunk in force and refuse chunks observed before `floor_ns`."""
        self._spline, self._fade, self.chunk = None, None, None
        self._floor_ns = floor_ns

    def _refusal(self, chunk: ActionChunk, now_ns: int) -> str:
        if chunk.stamp_ns < self._floor_ns:
            age_ms = (self._floor_ns - chunk.stamp_ns) / 1e6
            return f"observation is {age_ms:.0f} ms older than the hand-over"
        if self.chunk is not None and chunk.stamp_ns <= self.chunk.stamp_ns:
            return "observation is not newer than that of the chunk in force"
        if chunk.end_ns <= now_ns:
            late_ms = (now_ns - chunk.end_ns) / 1e6
            return f"chunk was over {late_ms:.0f} ms before it came: inference is too slow"
        if chunk.stamp_ns > now_ns + self._future_max_ns:
            ahead_ms = (chunk.stamp_ns - now_ns) / 1e6
            return f"observation is {ahead_ms:.0f} ms in the future: the clocks disagree"
        return ""

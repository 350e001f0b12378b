"""Play action chunks by time: action k is due at `stamp + (k + 1) * dt`, whenever it arrives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from arfm_ros.core.chunks.cubic import along, cubics, rate
from arfm_ros.core.safety.limits import F64, Target
from arfm_ros.core.values.data import ActionChunk

NS = 1_000_000_000
LONG_AGO = -(2**62)
Lead = Callable[[F64], F64]  # velocity [A] -> s [A] by which an axis is to be ahead


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


@dataclass(frozen=True, slots=True)
class Ramp:
    """A clock that begins to go half of `ramp_ns` before `begin_ns`, at full pace half after it.

    From then on it shows the time since `begin_ns`: nothing has to be caught up with.
    """

    begin_ns: int
    ramp_ns: int = 0

    @property
    def end_ns(self) -> int:
        """When it has come to full pace."""
        return self.begin_ns + self.ramp_ns // 2

    def holds_back(self, since_ns: int) -> bool:
        """Whether it was not at full pace all the time since `since_ns`."""
        return self.ramp_ns > 0 and since_ns < self.end_ns

    def at(self, now_ns: int) -> tuple[int, float]:
        """What it shows at `now_ns`, and how fast it goes."""
        since_ns = now_ns - self.begin_ns
        half_ns = self.ramp_ns // 2
        if since_ns >= half_ns:
            return since_ns, 1.0
        into_ns = max(since_ns + half_ns, 0)
        if not into_ns:
            return 0, 0.0
        return into_ns**2 // (2 * self.ramp_ns), into_ns / self.ramp_ns


class Spline:
    """The path of one chunk from the command at its stamp through its actions [H, A].

    With a `ramp` it starts from rest, or goes on while an earlier one still does so: its clock is
    the ramp's, less what that showed at the stamp at full pace.
    """

    def __init__(
        self, actions: F64, start: F64, stamp_ns: int, dt_ns: int, ramp: Ramp | None = None
    ) -> None:
        self.stamp_ns = stamp_ns
        self.dt_ns = dt_ns
        self.ramp, self._dt_s = ramp or Ramp(stamp_ns), dt_ns / NS
        self.knots: F64 = np.vstack([start, actions])
        knots = self.knots
        slopes = monotone_slopes(knots, self._dt_s) * self._dt_s
        spans = cubics(knots[:-1], knots[1:], slopes[:-1], slopes[1:])
        self._spans: F64 = spans.swapaxes(0, 1).copy()  # [K - 1, 6, A]
        self._axes = np.arange(knots.shape[1])
        backwards = knots[::-1]
        self._low = np.minimum.accumulate(backwards)[::-1]  # [k]: of knots k and later
        self._high = np.maximum.accumulate(backwards)[::-1]
        self._way_ns = len(actions) * dt_ns
        self.end_ns = stamp_ns + self._way_ns  # time of the last action
        end = knots[-1]
        self._end = Target(end, np.zeros(end.size), end, end, ended=True)

    def ended(self, now_ns: int) -> bool:
        """Tell whether its end has been reached at `now_ns`."""
        # a path shorter than its ramp is at its end before its last action is due
        return now_ns >= self.end_ns or self._clock(now_ns)[0] >= self._way_ns

    def at(self, now_ns: int, lead: Lead | None = None) -> Target:
        """Position, velocity and hull of the path ahead at `now_ns`; at rest outside its span.

        With a `lead` each axis is where the path is that much later.
        """
        elapsed_ns, pace = self._clock(now_ns)
        if now_ns >= self.end_ns or elapsed_ns >= self._way_ns:
            return self._end
        k, into_ns = divmod(elapsed_ns, self.dt_ns)
        s, dt = into_ns / self.dt_ns, self._dt_s
        if lead is None:
            position, velocity = along(self._spans[k], s, dt)
        else:
            later = lead(rate(self._spans[k], s, dt) * pace)
            position, velocity = self._each(elapsed_ns / self.dt_ns + pace * later / dt)
        low = np.minimum(position, self._low[k + 1])
        high = np.maximum(position, self._high[k + 1])
        return Target(position, velocity * pace, low, high)

    def _each(self, places: F64) -> tuple[F64, F64]:
        """Position and velocity [A] with each axis at its own place [A], counted in actions."""
        places = np.minimum(places, float(len(self._spans)))
        k = np.minimum(places.astype(np.int64), len(self._spans) - 1)
        return along(self._spans[k, :, self._axes].T, places - k, self._dt_s)

    def _clock(self, now_ns: int) -> tuple[int, float]:
        """Time on the path at `now_ns`, and how fast it passes: 0 before the start."""
        shown_ns, pace = self.ramp.at(now_ns)
        elapsed_ns = shown_ns - (self.stamp_ns - self.ramp.begin_ns)
        return (elapsed_ns, pace) if elapsed_ns > 0 else (0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Fade:
    """A difference that dies away: cubic from (offset, rate) at `begin_ns` to rest at 0."""

    offset: F64  # [A]
    rate: F64  # [A], per second
    begin_ns: int
    duration_ns: int
    _cubic: F64 = field(init=False, repr=False)

    def __post_init__(self) -> None:
        zero = np.zeros_like(self.offset)
        slope = self.rate * (self.duration_ns / NS)
        object.__setattr__(self, "_cubic", cubics(self.offset, zero, slope, zero))

    @property
    def end_ns(self) -> int:
        """When nothing is left of it."""
        return self.begin_ns + self.duration_ns

    def at(self, now_ns: int) -> tuple[F64, F64]:
        """Difference [A] and its time derivative [A] at `now_ns`."""
        if now_ns >= self.end_ns:
            return (np.zeros(self.offset.size),) * 2
        s = max(now_ns - self.begin_ns, 0) / self.duration_ns
        return along(self._cubic, s, self.duration_ns / NS)

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


@dataclass(frozen=True, slots=True)
class Start:
    """How a chunk begins: when it was observed, and from rest over a `ramp_ns` or in motion."""

    observed_ns: int
    ramp_ns: int = 0


class ChunkPlayer:
    """Follow the newest observation's chunk, with no jump where one chunk takes over.

    The difference between the command in force and a new chunk fades out over `blend_ns` (C1).
    """

    def __init__(
        self,
        blend_ns: int = 100_000_000,
        future_max_ns: int = 100_000_000,
        lead: Lead | None = None,
    ) -> None:
        self._blend_ns, self._lead = blend_ns, lead
        self._future_max_ns = future_max_ns
        self._spline: Spline | None = None
        self._fade: Fade | None = None
        self._floor_ns = LONG_AGO
        self.observed_ns = LONG_AGO  # of the chunk in force
        self.chunk: ActionChunk | None = None  # its stamp is when its clock began

    @property
    def path(self) -> Spline | None:
        """Path of the chunk in force, without the fade from what was before."""
        return self._spline

    @property
    def end_ns(self) -> int:
        """When the path in force is over and what was before has faded; long ago without one."""
        fade_ns = LONG_AGO if self._fade is None else self._fade.end_ns
        return LONG_AGO if self._spline is None else max(self._spline.end_ns, fade_ns)

    def add(
        self,
        chunk: ActionChunk,
        now_ns: int,
        in_force: Target | None = None,
        start: Start | None = None,
    ) -> str:
        """Take over `chunk` from `now_ns` on; return '' or why it was refused.

        `in_force` is the command at `now_ns`; without it the player's own command counts, and
        with nothing playing the first action. `start`: where the chunk's clock did not begin with
        its observation.
        """
        start = start or Start(chunk.stamp_ns)
        refusal = self._refusal(chunk, start, now_ns)
        if refusal:
            return refusal
        in_force = in_force or self.command(now_ns)
        actions = np.asarray(chunk.actions, dtype=np.float64)
        first = actions[0] if in_force is None else in_force.position
        ramp, old = Ramp(chunk.stamp_ns, start.ramp_ns), self._spline
        joins = old is not None and not start.ramp_ns and old.ramp.holds_back(chunk.stamp_ns)
        # what was commanded when the observation was taken; the fade covers the rest
        if old is not None and (joins or old.stamp_ns <= chunk.stamp_ns <= now_ns):
            first = old.at(chunk.stamp_ns).position
        if old is not None and joins:
            ramp = old.ramp  # what was not executed meanwhile is not chased
            chunk = replace(chunk, stamp_ns=max(chunk.stamp_ns, ramp.begin_ns))
        spline = Spline(actions, first, chunk.stamp_ns, chunk.dt_ns, ramp)
        if in_force is not None and self._blend_ns > 0:
            new = spline.at(now_ns, self._lead)
            self._fade = fade_between(in_force, new, now_ns, self._blend_ns)
        self._spline, self.chunk, self.observed_ns = spline, chunk, start.observed_ns
        return ""

    def command(self, now_ns: int) -> Target | None:
        """Return where the chunk in force is at `now_ns`, its end when over; None without one."""
        if self._spline is None:
            return None
        target = self._spline.at(now_ns, self._lead)
        fading = self._fade is not None and now_ns < self._fade.end_ns
        return self._fade.add_to(target, now_ns) if fading and self._fade else target

    def moves(self, now_ns: int) -> bool:
        """Tell whether a path lies ahead at `now_ns`: `command` is there and has not ended."""
        if self._spline is None:
            return False
        if not self._spline.ended(now_ns):
            return True
        return self._fade is not None and bool(self._fade.at(now_ns)[0].any())

    def clear(self, floor_ns: int) -> None:
        """Drop the chunk in force and refuse chunks observed before `floor_ns`."""
        self._spline, self._fade, self.chunk = None, None, None
        self._floor_ns = floor_ns

    def _refusal(self, chunk: ActionChunk, start: Start, now_ns: int) -> str:
        if start.observed_ns < self._floor_ns:
            age_ms = (self._floor_ns - start.observed_ns) / 1e6
            return f"observation is {age_ms:.0f} ms older than the hand-over"
        if self.chunk is not None and start.observed_ns <= self.observed_ns:
            return "observation is not newer than that of the chunk in force"
        if chunk.end_ns <= now_ns:
            late_ms = (now_ns - chunk.end_ns) / 1e6
            return f"chunk was over {late_ms:.0f} ms before it came: inference is too slow"
        if start.observed_ns > now_ns + self._future_max_ns:
            ahead_ms = (start.observed_ns - now_ns) / 1e6
            return f"observation is {ahead_ms:.0f} ms in the future: the clocks disagree"
        return ""

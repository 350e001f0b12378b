"""Who moves the robot, and what it is told now: policy, human, or nobody with a reason.

Whatever comes in, the command goes through one `Limiter`; a fault brakes and holds, never zeroes.
All times are of one steady clock; whoever calls translates stamps of other clocks into it.
"""

from __future__ import annotations

import numpy as np

from arfm_ros.core.chunks.admission import Times, admit
from arfm_ros.core.chunks.player import LONG_AGO, NS, ChunkPlayer
from arfm_ros.core.chunks.rest import RestClock
from arfm_ros.core.errors import SafetyError
from arfm_ros.core.safety.decision import BY_CHUNK, ESTOP, HOLD, IDLE, ArbiterConfig, Decision
from arfm_ros.core.safety.estop import EStop
from arfm_ros.core.safety.lanes import Choices, Lanes
from arfm_ros.core.safety.limiter import Limiter
from arfm_ros.core.safety.limits import F64, Target, check_vector
from arfm_ros.core.safety.space import SpaceGuard
from arfm_ros.core.safety.watch import StateWatch
from arfm_ros.core.sharing.authority import Authority
from arfm_ros.core.values.data import ActionChunk

GOING_IDLE = "going idle"


class Arbiter:
    """Decide every tick from the newest chunk, the human, the joint state and the e-stop."""

    def __init__(self, config: ArbiterConfig) -> None:
        self.config = config
        self.lanes = Lanes(config)
        self.authority = Authority(self)
        self.estop = EStop(config.estop_silence_ns)
        self.watch = StateWatch(config.limits, config.watch)
        self.rejections = 0  # refused inputs, and why the last one was
        self.last_rejection = ""
        self.cut_short = ""  # why the chunk in force ends early; '' where it does not
        self._limiter: Limiter | None = None  # None: idle
        self._resting = RestClock()
        self._fault = ""
        self._leaving = False  # brakes, then idle
        self._now_ns = self._tick_ns = LONG_AGO
        self._guard = SpaceGuard()
        self.ahead_ns = config.smooth_ns // 2  # the path in force is so far ahead of what is sent

    @property
    def limiter(self) -> Limiter | None:
        """The command in force; None while idle."""
        return self._limiter

    @property
    def engaged(self) -> bool:
        """Whether anything is commanded."""
        return self._limiter is not None

    @property
    def leaving(self) -> bool:
        """Whether it brakes to go idle."""
        return self._leaving

    @property
    def fault(self) -> str:
        """Latched reason of a hold; '' without one."""
        return self._fault

    @property
    def player(self) -> ChunkPlayer:
        """The player of the newest chunk, in the first of its lanes."""
        return self.lanes.newest.player

    def limited_counts(self) -> dict[str, F64]:
        """Ticks in which a limit held an axis back since engaged: kind -> [A]."""
        counts = {} if self._limiter is None else self._limiter.counts
        return {kind: np.array(n, np.float64) for kind, n in counts.items()}

    def engage(self, now_ns: int, measured: F64) -> None:
        """Let policy or human drive from `measured` [A]; clear a latched hold.

        Chunks observed before `now_ns` are dropped. While commands are already being published
        the command glides to `measured` within its limits instead of starting there.
        Raises `SafetyError` when `measured` is unusable or the e-stop is latched.
        """
        start = check_vector(measured, self.config.limits, "measured position")
        if self.estop.latched:
            raise SafetyError("e-stop is latched: release it, then call reset")
        deaf = self.watch.not_following
        self.watch.begin(start, now_ns)
        self._now_ns = now_ns
        self._leaving = False
        if self._limiter is None:
            self._tick_ns = now_ns
            self._limiter = Limiter(self.config.limits, start, self.config.steps)
            self._resting.forget(now_ns)
        self._fresh_start(now_ns, deaf)

    def retune(self, config: ArbiterConfig) -> None:
        """Go on with other limits and times for the same axes."""
        self.config = config
        self.lanes.adopt(config, self._now_ns)
        if self._limiter is not None:
            self._limiter.adopt(config.limits)

    def disengage(self) -> None:
        """Brake, then go idle: command nothing, so that the controller keeps its last target."""
        self._leaving = self._limiter is not None
        self.lanes.forget(self._now_ns)
        self._idle_if_at_rest()

    def reset(self) -> None:
        """Clear a latched hold and the e-stop; glide to the measured position.

        Raises `SafetyError` while the e-stop is pressed.
        """
        self.estop.reset(self._now_ns)
        deaf = self.watch.not_following
        self.watch.start_over()
        self._fresh_start(self._now_ns, deaf)

    def fail(self, reason: str) -> None:
        """Latch a hold with `reason`; the first reason stays until a reset."""
        self._fault = self._fault or reason

    def unheard(self, reason: str) -> None:
        """Latch a hold while the controller hears somebody else, for as long as this is called.

        The command brakes, then waits at the measured position: heard again, it does not jump.
        """
        self.fail(reason)
        if self._limiter is not None and self._limiter.at_rest():
            self._limiter.restart(self._resting_place(self._limiter))

    def on_estop(self, pressed: bool, now_ns: int | None = None) -> None:
        """Latch the e-stop when pressed; `reset` clears it after the release."""
        self.estop.hear(pressed, self._now_ns if now_ns is None else now_ns)

    def on_state(self, position: F64, stamp_ns: int, now_ns: int) -> None:
        """Take the measured position [A]; one that cannot be used or be true latches a hold."""
        self.saw(now_ns)
        try:
            measured = check_vector(position, self.config.limits, "joint state")
        except SafetyError as error:
            reason = self.refuse(str(error))
        else:
            reason = self.watch.see(measured, stamp_ns, now_ns)
        if reason and self.engaged:
            self.fail(reason)

    def on_chunk(self, chunk: ActionChunk, now_ns: int) -> str:
        """Take over a chunk; return '' or why it was refused (the one before plays on).

        `player.chunk` then says when its clock began and how long an action takes.
        """
        self.saw(now_ns)
        limiter = self._limiter
        if limiter is None or self._leaving:
            return "not engaged"
        stopped = "e-stop or stale joint state" if self.estop.latched or self.watch.stale else ""
        if self._fault or stopped or self.lanes.waiting:
            return self.refuse(f"holding: {self._fault or stopped or self.lanes.waiting}")
        at_ns = self.in_force_ns(now_ns)
        times = Times(now_ns, at_ns, self._at_rest(limiter))
        try:
            lanes, whole = self.lanes.spread(chunk, limiter)
            admitted = admit(whole, self.config, limiter, self._resting, times)
        except SafetyError as error:
            return self.refuse(str(error))
        in_force = Target(limiter.position, limiter.velocity)
        refusal = self.lanes.play(admitted.chunk, lanes, at_ns, in_force, admitted.start)
        if refusal:
            return self.refuse(refusal)
        self.cut_short = admitted.cut_short
        return ""

    def on_human_engaged(self, engaged: bool, now_ns: int) -> None:
        """Give the human priority, or hand back: then older observations no longer count."""
        self.saw(now_ns)
        self.lanes.engage_human(engaged, now_ns)

    def on_human(self, target: F64 | None, now_ns: int) -> str:
        """Take the human's target [A] (engages); None hands back. Return '' or the refusal."""
        if target is None:
            self.on_human_engaged(False, now_ns)
            return ""
        return self.authority.move(target, now_ns)

    def tick(self, now_ns: int) -> Decision:
        """Return the command for now."""
        self.saw(now_ns)
        self.estop.check(now_ns)
        limiter = self._limiter
        if limiter is None:
            self._tick_ns = now_ns
            authority, reason = (ESTOP, "e-stop") if self.estop.latched else (IDLE, "not engaged")
            return Decision(None, np.zeros(self.config.limits.size), authority, reason)
        dt_s = self._dt_s(now_ns)
        resting = self._at_rest(limiter)
        self._resting.note(now_ns, resting)
        self._tick_ns = now_ns
        self.fail(self.watch.check(now_ns, limiter.sent[0]))
        self.authority.check(now_ns, limiter)
        if self.watch.stale:
            self.lanes.clear(now_ns)  # what comes next has to see the arm at rest
        choices = self._choose(now_ns, limiter)
        outside = self._guard.check(self.config.space, limiter) if choices.asked else ""
        if outside:
            choices = self.lanes.alike(HOLD, outside)
        limited = limiter.follow(choices.moves, dt_s)
        authority, reason = choices.foremost
        chunk = self.player.chunk if authority in BY_CHUNK else None
        command, velocity = limiter.sent
        self._idle_if_at_rest()
        played = (chunk.info.chunk_id, self.player.observed_ns) if chunk else (0, 0)
        return Decision(command, velocity, authority, reason, *played, limited, choices.owners)

    def look_ahead(self) -> None:
        """Look where the arm would come to rest; once a command is out, the next tick need not."""
        if self._limiter is not None:
            self._guard.check(self.config.space, self._limiter)

    def preview(self, now_ns: int, step_ns: int, count: int) -> tuple[F64, F64]:
        """Return commands and velocities [count, A] every `step_ns` from now on, if nothing comes.

        The same choice and the same limits as `tick`, on a copy; [0, A] while idle.
        """
        if self._limiter is None:
            return (np.zeros((0, self.config.limits.size)),) * 2
        copy, longest_ns = self._limiter.copy(), self.config.step_max_ns
        moves = lambda at_ns: self._choose(at_ns, copy).moves  # noqa: E731
        return copy.ahead(moves, (now_ns, step_ns), count, longest_ns)

    def _choose(self, now_ns: int, limiter: Limiter) -> Choices:
        if self.estop.latched:
            return self.lanes.alike(ESTOP, self.estop.reason)
        if self._fault:
            return self.lanes.alike(HOLD, self._fault)
        if self._leaving:
            return self.lanes.alike(HOLD, GOING_IDLE)
        if self.watch.stale:
            age_ms = (now_ns - self.watch.stamp_ns) / 1e6
            return self.lanes.alike(HOLD, f"joint state is stale: {age_ms:.0f} ms old")
        return self.lanes.choose(now_ns, limiter)

    def _at_rest(self, limiter: Limiter) -> bool:
        """Whether nothing is being executed: the command stands and no path lies ahead of it."""
        held = bool(self._fault) or self.estop.latched
        return (held or not self.lanes.executing(self._tick_ns)) and limiter.at_rest()

    def _dt_s(self, now_ns: int) -> float:
        """Time since the last tick; a clock that goes back is a fault and counts as a period."""
        dt_ns = now_ns - self._tick_ns
        if dt_ns < 0:
            self.fail("the clock went back: reset to go on")
            self.lanes.clear(now_ns)
            return self.config.period_ns / NS
        return dt_ns / NS

    def _fresh_start(self, now_ns: int, deaf: bool) -> None:
        """Forget what was under way; `deaf`: commands did not arrive, start where the arm is."""
        self._fault, rest = "", None
        if self._limiter is not None:
            rest = self._resting_place(self._limiter)
            if deaf:
                self._limiter.restart(rest)
        self.lanes.forget(now_ns, rest)
        self.authority.approach(now_ns)

    def _resting_place(self, limiter: Limiter) -> F64:
        """Where the arm is; a gripper stays where it is asked to, for it may hold something."""
        grip = np.isinf(self.config.limits.tracking)
        return np.where(grip, limiter.position, self.watch.position)

    def in_force_ns(self, now_ns: int) -> int:
        """Time to which the command in force belongs: that of the last tick, if recent."""
        recent = now_ns - self._tick_ns <= 2 * self.config.period_ns
        return (self._tick_ns if recent else now_ns) + self.ahead_ns

    def _idle_if_at_rest(self) -> None:
        if self._leaving and self._limiter is not None and self._limiter.at_rest():
            self._limiter, self._leaving, self._fault = None, False, ""

    def saw(self, now_ns: int) -> None:
        """Note the time; the arbiter's own silence ends what was under way, by its length."""
        self._now_ns = max(self._now_ns, now_ns)
        silence_ns = now_ns - self._tick_ns
        if self._limiter is None or silence_ns <= self.config.stall_max_ns:
            return
        self.lanes.forget(now_ns)
        if silence_ns > self.config.stall_lost_ns:
            self.fail(f"the arbiter itself was silent for {silence_ns / 1e6:.0f} ms")

    def refuse(self, reason: str) -> str:
        """Count an input that cannot be used; return `reason`."""
        self.rejections += 1
        self.last_rejection = reason
        return reason

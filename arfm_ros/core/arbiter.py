"""Who moves the robot, and what it is told now: policy, human, or nobody with a reason.

Whatever comes in, the command goes through one `Limiter`; a fault brakes and holds, never zeroes.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from arfm_ros.core.data import ActionChunk
from arfm_ros.core.decision import (
    ESTOP,
    HOLD,
    HUMAN,
    IDLE,
    POLICY,
    SETTLE,
    ArbiterConfig,
    Decision,
)
from arfm_ros.core.errors import SafetyError
from arfm_ros.core.human import HumanTarget, approach_ns, blend
from arfm_ros.core.player import LONG_AGO, NS, ChunkPlayer, fade_between
from arfm_ros.core.safety import F64, Limiter, Target, check_chunk, check_vector

__all__ = ["Arbiter", "ArbiterConfig", "Decision"]

CLOCK_BACK_MAX_NS = NS


class Arbiter:
    """Decide every tick from the newest chunk, the human, the joint state and the e-stop."""

    def __init__(self, config: ArbiterConfig) -> None:
        self.config = config
        self.player = ChunkPlayer(config.blend_ns)
        self.rejections = 0  # refused inputs, and why the last one was
        self.last_rejection = ""
        self.state_stamp_ns = self._state_seen_ns = LONG_AGO
        self._limiter: Limiter | None = None  # None: idle
        self._human = HumanTarget()
        self._measured: F64 = np.full(config.limits.size, np.nan)  # no state yet
        self._rest: F64 | None = None  # where a hold without a fault glides to
        self._fault = ""
        self._estop_pressed = False
        self._estop = False  # latched
        self._tracking_armed = False
        self._stale_ticks = 0
        self._now_ns = LONG_AGO
        self._tick_ns = LONG_AGO

    @property
    def engaged(self) -> bool:
        """Whether anything is commanded."""
        return self._limiter is not None

    @property
    def fault(self) -> str:
        """Latched reason of a hold; '' without one."""
        return self._fault

    @property
    def estopped(self) -> bool:
        """Whether the e-stop is latched."""
        return self._estop

    def limited_counts(self) -> dict[str, F64]:
        """Ticks in which a limit held an axis back since engaged: kind -> [A]."""
        if self._limiter is None:
            return {}
        return {kind: np.array(n, np.float64) for kind, n in self._limiter.counts.items()}

    def engage(self, now_ns: int, measured: F64) -> None:
        """Let policy or human drive from `measured` [A]; clear a latched hold.

        Chunks observed before `now_ns` are dropped. While commands are already being published
        the command glides to `measured` within its limits instead of starting there.
        Raises `SafetyError` when `measured` is unusable or the e-stop is latched.
        """
        start = check_vector(measured, self.config.limits, "measured position")
        if self._estop:
            raise SafetyError("e-stop is latched: release it, then call reset")
        self._measured = start
        self.state_stamp_ns = self._state_seen_ns = self._now_ns = self._tick_ns = now_ns
        if self._limiter is None:
            longest_s = self.config.step_max_ns / NS
            self._limiter = Limiter(self.config.limits, start, longest_s, 5 * longest_s)
        self._fresh_start(now_ns)

    def disengage(self) -> None:
        """Go idle: command nothing, so that the controller keeps its last target."""
        self._limiter, self._rest, self._fault = None, None, ""
        self.player.clear(self._now_ns)

    def reset(self) -> None:
        """Clear a latched hold and the e-stop; glide to the measured position.

        Raises `SafetyError` while the e-stop is pressed.
        """
        if self._estop_pressed:
            raise SafetyError("e-stop is still pressed: release it first, then call reset")
        self._estop = False
        self._fresh_start(self._now_ns)

    def fail(self, reason: str) -> None:
        """Latch a hold with `reason`; the first reason stays until a reset."""
        self._fault = self._fault or reason

    def on_estop(self, pressed: bool) -> None:
        """Latch the e-stop when pressed; `reset` clears it after the release."""
        self._estop_pressed = pressed
        self._estop = self._estop or pressed

    def on_state(self, position: F64, stamp_ns: int, now_ns: int) -> None:
        """Take the measured position [A]; an unusable one latches a hold."""
        self._saw(now_ns)
        try:
            self._measured = check_vector(position, self.config.limits, "joint state")
        except SafetyError as error:
            reason = self._reject(str(error))
            self._fault = self._fault or (reason if self.engaged else "")
            return
        # a stamp from the future must not keep the state fresh for ever
        self.state_stamp_ns, self._state_seen_ns = min(stamp_ns, now_ns), now_ns

    def on_chunk(self, chunk: ActionChunk, now_ns: int) -> str:
        """Take over a chunk; return '' or why it was refused (the one before plays on)."""
        self._saw(now_ns)
        if self._limiter is None:
            return "not engaged"
        if self._estop or self._fault or self._stale():
            return self._reject(f"holding: {self._fault or 'e-stop or stale joint state'}")
        try:
            actions = check_chunk(chunk, self.config.limits)
        except SafetyError as error:
            return self._reject(str(error))
        usable = replace(chunk, actions=actions.astype(np.float32))
        in_force = Target(self._limiter.position, self._limiter.velocity)
        refusal = self.player.add(usable, self._in_force_ns(now_ns), in_force)
        if not refusal:
            self._rest = None
        return self._reject(refusal) if refusal else ""

    def on_human_engaged(self, engaged: bool, now_ns: int) -> None:
        """Give the human priority, or hand back: then older observations no longer count."""
        self._saw(now_ns)
        if engaged == self._human.engaged:
            return
        self._human = HumanTarget(engaged, now_ns)
        self._rest = None
        if not engaged:
            self.player.clear(now_ns)

    def on_human(self, target: F64 | None, now_ns: int) -> str:
        """Take the human's target [A] (engages); None hands back. Return '' or the refusal."""
        if target is None:
            self.on_human_engaged(False, now_ns)
            return ""
        try:
            wanted = check_vector(target, self.config.limits, "teleop target")
        except SafetyError as error:
            return self._reject(str(error))
        position = np.clip(wanted, self.config.limits.low, self.config.limits.high)
        self.on_human_engaged(True, now_ns)
        age_ns = now_ns - self._human.stamp_ns
        resumes = self._human.at(now_ns) is None or age_ns > self.config.human_age_max_ns
        self._human.move(position, now_ns, self.config.human_age_max_ns)
        if resumes:
            self._approach_human(now_ns)
        return ""

    def tick(self, now_ns: int) -> Decision:
        """Return the command for now."""
        self._saw(now_ns)
        limiter = self._limiter
        if limiter is None:
            authority, reason = (ESTOP, "e-stop") if self._estop else (IDLE, "not engaged")
            return Decision(None, np.zeros(self.config.limits.size), authority, reason)
        dt_s = max(now_ns - self._tick_ns, 0) / NS
        self._tick_ns = max(now_ns, self._tick_ns)
        self._watch(now_ns, limiter)
        authority, reason, target = self._choose(now_ns, limiter)
        limited = limiter.follow(target, dt_s)
        chunk = self.player.chunk if authority in {POLICY, SETTLE} else None
        return Decision(
            limiter.position.copy(),
            limiter.velocity.copy(),
            authority,
            reason,
            chunk.info.chunk_id if chunk else 0,
            chunk.stamp_ns if chunk else 0,
            limited,
        )

    def preview(self, now_ns: int, step_ns: int, count: int) -> tuple[F64, F64]:
        """Return commands and velocities [count, A] every `step_ns` from now on, if nothing comes.

        The same choice and the same limits as `tick`, on a copy; [0, A] while idle.
        """
        size = self.config.limits.size
        positions, velocities = np.zeros((count, size)), np.zeros((count, size))
        if self._limiter is None:
            return positions[:0], velocities[:0]
        limiter = copy.copy(self._limiter)
        limiter.counts = {kind: n.copy() for kind, n in limiter.counts.items()}
        parts = -(-step_ns // self.config.step_max_ns)
        for k in range(count * parts):
            at_ns = now_ns + (k + 1) * step_ns // parts
            target = self._choose(at_ns, limiter)[2]
            limiter.follow(target, step_ns / parts / NS)
            positions[k // parts], velocities[k // parts] = limiter.position, limiter.velocity
        return positions, velocities

    def _choose(self, now_ns: int, limiter: Limiter) -> tuple[str, str, Target | None]:
        if self._estop:
            reason = "e-stop pressed" if self._estop_pressed else "e-stop released: reset to go on"
            return ESTOP, reason, None
        if self._fault:
            return HOLD, self._fault, None
        if self._stale():
            age_ms = (now_ns - self.state_stamp_ns) / 1e6
            return HOLD, f"joint state is stale: {age_ms:.0f} ms old", None
        human = self._human.engaged and self.config.human_blend > 0.0
        return self._human_drives(now_ns) if human else self._policy_drives(now_ns, limiter)

    def _human_drives(self, now_ns: int) -> tuple[str, str, Target | None]:
        age_ms = (now_ns - self._human.stamp_ns) / 1e6
        if age_ms > self.config.human_age_max_ns / 1e6:
            return HOLD, f"teleop target is {age_ms:.0f} ms old", None
        human, policy = self._human.at(now_ns), self.player.command(now_ns)
        if human is None:
            return HUMAN, "waiting for the first teleop target", None
        if policy is None:
            return HUMAN, "", human
        return HUMAN, "", blend(policy, human, self.config.human_blend)

    def _policy_drives(self, now_ns: int, limiter: Limiter) -> tuple[str, str, Target | None]:
        target = self.player.command(now_ns)
        if target is None:
            still = np.zeros(self.config.limits.size)
            rest = None if self._rest is None else Target(self._rest, still)
            return HOLD, "waiting for a chunk", rest
        if not target.ended:
            return POLICY, "", target
        arrived = np.abs(target.position - limiter.position).max() < 1e-3 and limiter.at_rest()
        return (HOLD if arrived else SETTLE), "chunk ended", target

    def _watch(self, now_ns: int, limiter: Limiter) -> None:
        if now_ns < self._tick_ns - CLOCK_BACK_MAX_NS:
            self.fail("the clock went back: engage again")
        age_ns = now_ns - self.state_stamp_ns
        silent = now_ns - self._state_seen_ns > self.config.state_gap_max_ns
        old = silent or age_ns > self.config.state_age_max_ns
        self._stale_ticks = self._stale_ticks + 1 if old else 0
        if self._stale():
            self.player.clear(now_ns)  # what comes next has to see the arm at rest
            if age_ns > self.config.state_lost_ns:
                self.fail(f"joint state is stale: {age_ns / 1e6:.0f} ms old")
        distance = np.abs(self._measured - limiter.position)
        far = distance > self.config.limits.tracking
        if self._tracking_armed and far.any():
            self.fail(f"arm does not follow its command: {self.config.limits.named(far)}")
        self._tracking_armed = self._tracking_armed or not far.any()

    def _stale(self) -> bool:
        return self._stale_ticks >= self.config.stale_ticks

    def _fresh_start(self, now_ns: int) -> None:
        self._fault, self._stale_ticks, self._tracking_armed = "", 0, False
        self.player.clear(now_ns)
        self._human.fade = None
        self._approach_human(now_ns)
        self._rest = None
        if self._limiter is not None:
            grip = np.isinf(self.config.limits.tracking)  # a held object stays held
            self._rest = np.where(grip, self._limiter.position, self._measured)

    def _approach_human(self, now_ns: int) -> None:
        human = self._human.at(now_ns)
        if human is None or self._limiter is None:
            return
        in_force = Target(self._limiter.position, self._limiter.velocity)
        duration_ns = approach_ns(in_force, human, self.config.human_approach_rad_s)
        longest_ns = max(self.config.blend_ns, duration_ns)
        self._human.fade = fade_between(in_force, human, self._in_force_ns(now_ns), longest_ns)

    def _in_force_ns(self, now_ns: int) -> int:
        """Time to which the command in force belongs: that of the last tick, if recent."""
        return self._tick_ns if now_ns - self._tick_ns <= 2 * self.config.period_ns else now_ns

    def _saw(self, now_ns: int) -> None:
        self._now_ns = max(self._now_ns, now_ns)

    def _reject(self, reason: str) -> str:
        self.rejections += 1
        self.last_rejection = reason
        return reason

"""What the arbiter says about itself on `/diagnostics`."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.decision import HOLD, IDLE, Decision
from arfm_ros.core.values.latency import Deadlines, StageLatency
from arfm_ros.nodes.ros.diagnostics import ERROR, OK, WARN, Health

NS = 1_000_000_000
NEVER_NS = 3600 * NS


@dataclass(slots=True)
class Told:
    """What the node's threads noticed."""

    ticks: int = 0
    real_time: bool = False
    refusal: str = ""  # of a joint state that never reached the arbiter
    intruders: str = ""  # on the command topics
    senders: Sequence[str] = ()  # inputs that have too many
    note: str = ""  # what the operator should know, and nothing stops for
    changed: threading.Event = field(default_factory=threading.Event)  # authority or reason
    stops: deque[str] = field(default_factory=lambda: deque(maxlen=1))  # since the last word

    def decided(self, before: Decision | None, now: Decision) -> None:
        """Note a tick's decision: one that lasts no longer than a few ticks is told as well."""
        self.ticks += 1
        if before is not None and (before.authority, before.reason) == (now.authority, now.reason):
            return
        if now.authority == HOLD and now.reason:
            self.stops.append(now.reason)
        self.changed.set()


class ArbiterHealth:
    """Make the node's health of the arbiter's state."""

    def __init__(self, names: Sequence[str], latency: StageLatency, deadlines: Deadlines) -> None:
        self._names, self._latency, self._deadlines = names, latency, deadlines
        self._seen = (0, time.monotonic_ns(), 0)  # ticks, time, rejections at the last call

    def health(self, arbiter: Arbiter, decision: Decision | None, told: Told) -> Health:
        """Return the health now; the caller holds the arbiter's lock."""
        rejections = self._seen[2]
        values = self._values(arbiter, decision, told)
        stopped = told.stops.pop() if told.stops else ""
        trouble = told.intruders or arbiter.fault  # names may come late
        if trouble or told.senders:
            said = [trouble] if trouble else []
            return Health(ERROR, "; ".join([*said, *told.senders]), values)
        if arbiter.estop.latched:
            return Health(WARN, arbiter.estop.reason, values)
        if arbiter.rejections > rejections:
            return Health(WARN, arbiter.last_rejection, values)
        if told.note:
            return Health(WARN, told.note, values)
        meanwhile = f"ok again; held for a moment: {stopped}" if stopped else "ok"
        return Health(OK, str(values["reason"] or meanwhile), values)

    def _values(
        self, arbiter: Arbiter, decision: Decision | None, told: Told
    ) -> dict[str, object]:
        ticks, since_ns, _ = self._seen
        now_ns = time.monotonic_ns()
        age_ns = now_ns - arbiter.watch.stamp_ns
        self._seen = (told.ticks, now_ns, arbiter.rejections)
        values: dict[str, object] = {
            "authority": decision.authority if decision else IDLE,
            "reason": decision.reason if decision else "",
            "speed": arbiter.config.speed,
            "tick_rate_hz": (told.ticks - ticks) * NS / max(1, now_ns - since_ns),
            "real_time": told.real_time,
            "ticks_missed": self._deadlines.missed,
            "state_age_ms": age_ns / 1e6 if age_ns < NEVER_NS else "never",
            "rejections": arbiter.rejections,
            "last_rejection": arbiter.last_rejection or told.refusal,
            "joint_state_refused": told.refusal,
            "cut_short": arbiter.cut_short,
        }
        if decision and decision.chunk_stamp_ns:
            values["chunk_id"] = decision.chunk_id
            values["chunk_age_ms"] = (now_ns - decision.chunk_stamp_ns) / 1e6
        for kind, count in arbiter.limited_counts().items():
            values |= {f"limited.{kind}.{n}": int(c) for n, c in zip(self._names, count) if c}
        return values | self._latency.values_ms()

"""The arbiter with a perfect robot, and chunks for it."""

import numpy as np

from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.decision import ArbiterConfig, Decision
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.limits import fr3_limits

MS = 1_000_000
TICK_NS = 10 * MS
DT_NS = 50 * MS
LIMITS = fr3_limits()
HOME = np.append(np.asarray(fr3.HOME), 1.0)
HORIZON = 16


def make_chunk(stamp_ns, offset=0.0, slope=0.0, horizon=HORIZON, names=LIMITS.names):
    k = np.arange(1, horizon + 1)[:, None] * DT_NS / 1e9
    actions = HOME + (offset + slope * k) * np.append(np.ones(7), 0.0)
    return ActionChunk(actions.astype(np.float32), stamp_ns, DT_NS, names)


class Rig:
    """An arbiter with a perfect robot: what is commanded is measured one tick later."""

    def __init__(self, **config):
        self.arbiter = Arbiter(ArbiterConfig(LIMITS, **config))
        self.now = 10_000 * MS
        self.measured = HOME.copy()
        self.frozen = False
        self.last = None

    def engage(self):
        self.arbiter.engage(self.now, self.measured)
        return self

    def tick(self, n=1):
        for _ in range(n):
            self.now += TICK_NS
            if not self.frozen:
                self.arbiter.on_state(self.measured, self.now, self.now)
            before, self.last = self.last, self.arbiter.tick(self.now)
            if self.last.command is not None:
                self.check_step(before)
                self.measured = self.last.command.copy()
        return self.last

    def check_step(self, before: Decision | None):
        assert np.isfinite(self.last.command).all()
        if before is not None and before.command is not None:
            moved = np.abs(self.last.command - before.command)
            assert (moved <= LIMITS.velocity * TICK_NS / 1e9 + 1e-12).all()
            change = np.abs(self.last.velocity - before.velocity)
            assert (change <= LIMITS.acceleration * TICK_NS / 1e9 + 1e-9).all()

    def chunk(self, **kwargs):
        return self.arbiter.on_chunk(make_chunk(self.now, **kwargs), self.now)

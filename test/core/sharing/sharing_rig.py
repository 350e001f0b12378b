"""An arbiter with an arm and a gripper as lanes, a perfect robot, a policy and a person."""

import numpy as np

from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.decision import ArbiterConfig, Lane
from arfm_ros.core.sharing.modes import Sharing
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.robots.fr3.limits import fr3_limits

MS = 1_000_000
TICK_NS, DT_NS = 10 * MS, 50 * MS
LIMITS = fr3_limits()
ARM, GRIPPER = LIMITS.names[:7], LIMITS.names[7]
HOME = np.array([0.0, -0.78, 0.0, -2.35, 0.0, 1.57, 0.78, 1.0])
LANES = (Lane("arm", 7, units=("rad",) * 7), Lane("gripper", 1, units=("1",)))


class Rig:
    def __init__(self, mode="policy", engaged=True, limits=LIMITS, **sharing):
        config = ArbiterConfig(limits, lanes=LANES, sharing=Sharing(mode, **sharing))
        self.arbiter = Arbiter(config)
        self.silent = False
        self.authority = self.arbiter.authority
        self.now = 10_000 * MS
        self.measured = HOME.copy()
        self.trace = []
        if engaged:
            self.arbiter.engage(self.now, self.measured)

    @property
    def commands(self):
        return np.array([decision.command for decision in self.trace])

    @property
    def last(self):
        return self.trace[-1]

    def owners(self):
        return {one.group: one.owner for one in self.authority.owners(self.now)}

    def chunk(self, rate=0.2, gripper=0.0, stamp=None):
        """Send a chunk from where the arm is, at `rate` rad/s and `gripper` openings/s."""
        k = np.arange(1, 17)[:, None] * DT_NS / 1e9
        path = self.measured + k * np.append(np.full(7, rate), gripper)
        path = np.clip(path, LIMITS.low, LIMITS.high).astype(np.float32)
        stamp = self.now if stamp is None else stamp
        return self.arbiter.on_chunk(ActionChunk(path, stamp, DT_NS, LIMITS.names), self.now)

    def wants(self, offset=0.0, names=ARM):
        """Send a person's target: an offset from HOME of the axes `names`."""
        wanted = dict(zip(LIMITS.names, (HOME + offset).tolist()))
        return self.authority.target({n: wanted.get(n, 0.0) for n in names}, self.now)

    def tick(self, n=1):
        for _ in range(n):
            self.now += TICK_NS
            if not self.silent:
                self.arbiter.on_state(self.measured, self.now, self.now)
            decision = self.arbiter.tick(self.now)
            self.trace.append(decision)
            if decision.command is not None:
                if len(self.trace) > 1 and self.trace[-2].command is not None:
                    self.check_step(self.trace[-2], decision)
                self.measured = decision.command.copy()
        return self.last

    def check_step(self, before, now):
        moved = np.abs(now.command - before.command)
        assert (moved <= LIMITS.velocity * TICK_NS / 1e9 + 1e-9).all()
        change = np.abs(now.velocity - before.velocity)
        assert (change <= LIMITS.acceleration * TICK_NS / 1e9 + 1e-6).all()


BOTH = (*ARM, GRIPPER)
POLICY = {"arm": "policy", "gripper": "policy"}
HUMAN_ARM = {"arm": "human", "gripper": "policy"}
HUMAN = {"arm": "human", "gripper": "human"}


def moving(rig):
    rig.tick()
    rig.chunk()
    rig.tick(5)


def pressed(rig):
    moving(rig)
    rig.authority.deadman(True, rig.now)
    rig.wants()


def both_pressed(rig):
    moving(rig)
    rig.authority.deadman(True, rig.now)
    rig.wants(names=BOTH)

"""What people ask of an arbiter: groups, single axes, modes, beside what words do.

Takeover is at once: the human's weight jumps and the command goes on from where it is. Giving back
is slow: the policy's weight grows with the first chunk that saw the robot after the hand-over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from arfm_ros.core.chunks.player import LONG_AGO
from arfm_ros.core.errors import SafetyError
from arfm_ros.core.safety.human import admit_human
from arfm_ros.core.safety.lanes import part_of
from arfm_ros.core.safety.limits import F64
from arfm_ros.core.sharing.modes import ASSIST, HUMAN, MODE, MODES, POLICY
from arfm_ros.core.sharing.orders import Orders

if TYPE_CHECKING:
    from arfm_ros.core.safety.arbiter import Arbiter
    from arfm_ros.core.safety.drivers import Drivers
    from arfm_ros.core.safety.limiter import Limiter


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who has a group: one owner, how much a human's wish weighs there, and since when."""

    group: str
    owner: str
    mode: str
    weight: float  # the largest of its axes
    since_ns: int
    axes: Mapping[str, float] = field(default_factory=dict)  # weights, where they differ


class Authority(Orders):
    """Decide who may have what; each request is answered by '' or why it is refused."""

    def __init__(self, arbiter: Arbiter) -> None:
        super().__init__(arbiter)
        self._pressed_ns: int | None = None  # since when the deadman has been pressed
        self._by_grace: frozenset[str] = frozenset()  # taken before the device named its groups
        self._let_go: set[str] = set()  # given back by a request while the deadman is pressed
        self._since: dict[str, tuple[str, int]] = {}

    @property
    def mode(self) -> str:
        """The mode in force."""
        return self._lanes.mode

    def owners(self, now_ns: int) -> tuple[Ownership, ...]:
        """Return who has each group now."""
        self._note(now_ns)
        return tuple(self._ownership(lane, now_ns) for lane in self._lanes.all)

    def request(self, what: str, owner: str, now_ns: int) -> str:
        """Give a group or an axis to `human` or `policy`; or, with `what` "mode", change it."""
        self._arbiter.saw(now_ns)
        if what == MODE:
            refusal = self._change_mode(owner, now_ns)
        else:
            refusal = self._hand(what, owner, now_ns)
        return self._arbiter.refuse(f"{what[:40]}: {refusal}") if refusal else ""

    def takeover(self, human: bool, now_ns: int) -> str:
        """Give all groups to the human that may be, or all back."""
        if not human:
            self._let_go = {lane.name for lane in self._lanes.all}
            self._release(now_ns)
            return ""
        refusals = {one.name: self._hand(one.name, HUMAN, now_ns) for one in self._lanes.all}
        if all(refusals.values()):
            text = "; ".join(f"{name}: {why}" for name, why in refusals.items())
            return self._arbiter.refuse(text)
        return ""

    def deadman(self, pressed: bool, now_ns: int) -> None:
        """Take the groups that the device names, or let all go."""
        self._arbiter.saw(now_ns)
        if not pressed or self._pressed_ns is None:
            self._let_go.clear()
        if not pressed:
            self._pressed_ns = None
            self._release(now_ns)
        elif self._pressed_ns is None:
            self._pressed_ns, self._by_grace = now_ns, frozenset()
            for lane in self._lanes.all:
                if self._fresh(lane, now_ns):
                    lane.engage_human(True, now_ns)

    def target(self, named: Mapping[str, float], now_ns: int) -> str:
        """Take what a person's device wants of the axes that it names; the others stay."""
        limiter, limits = self._arbiter.limiter, self._arbiter.config.limits
        unknown = [name for name in named if name not in limits.names]
        if unknown or not named:
            wrong = ", ".join(unknown)[:80] or "nothing"
            known = ", ".join(limits.names)
            return self._arbiter.refuse(f"teleop target names {wrong}, the robot has: {known}")
        if limiter is None:
            return ""
        whole = np.array([named.get(n, p) for n, p in zip(limits.names, self._stays(now_ns))])
        try:
            position = admit_human(whole, self._arbiter.config, limiter)
        except SafetyError as error:
            return self._arbiter.refuse(str(error))
        those = [lane for lane in self._lanes.all if not set(lane.names).isdisjoint(named)]
        for lane in those:
            lane.heard, lane.heard_ns = position[lane.part], now_ns
        if self._pressed_ns is not None:
            self._take([one for one in those if one.name not in self._let_go], now_ns)
        driven = [lane for lane in self._lanes.all if lane.owner == HUMAN and lane.human.engaged]
        self._moved(position, tuple(driven), now_ns)
        return ""

    def move(self, target: F64, now_ns: int) -> str:
        """Take a target [A] of all axes, and all groups with it."""
        try:
            position = admit_human(target, self._arbiter.config, self._arbiter.limiter)
        except SafetyError as error:
            return self._arbiter.refuse(str(error))
        self._arbiter.saw(now_ns)
        self._moved(position, self._lanes.all, now_ns)
        return ""

    def check(self, now_ns: int, limiter: Limiter) -> None:
        """Note at a tick what time changes: a deadman without a target, errands that are done."""
        self._lanes.finish(now_ns, limiter)
        self._note(now_ns)
        since_ns = self._pressed_ns
        if since_ns is None or self._let_go or any(lane.human.engaged for lane in self._lanes.all):
            return
        if now_ns - since_ns >= self._arbiter.config.sharing.deadman_grace_ns:
            self._lanes.engage_human(True, now_ns)
            self._by_grace = frozenset(lane.name for lane in self._lanes.all)

    def disagreement(self, now_ns: int) -> dict[str, dict[str, float]]:
        """Return group -> unit -> how far the human is from the policy's plan; {} without both."""
        found = {lane.name: lane.disagreement(now_ns) for lane in self._lanes.all}
        return {name: units for name, units in found.items() if units}

    def _moved(self, position: F64, lanes: tuple[Drivers, ...], now_ns: int) -> None:
        begun = self._lanes.move_human(position, now_ns, lanes)
        if begun:
            self.approach(now_ns, begun)

    def _take(self, named: list[Drivers], now_ns: int) -> None:
        """Give the device the groups that it names; those taken before it did so go back."""
        for lane in self._lanes.all:
            if lane.name in self._by_grace and lane not in named:
                lane.engage_human(False, now_ns)
        self._by_grace = frozenset()
        for lane in named:
            lane.engage_human(True, now_ns)

    def _stays(self, now_ns: int) -> list[float]:
        """Where axes are to be that a target does not name: where they were wanted last."""
        limiter = self._arbiter.limiter
        assert limiter is not None
        position = limiter.position.copy()
        for lane in self._lanes.all:
            wanted = lane.human.position
            if lane.human.engaged and wanted is not None and self._fresh(lane, now_ns):
                position[lane.part] = wanted
        return list(position.tolist())

    def _fresh(self, lane: Drivers, now_ns: int) -> bool:
        return now_ns - lane.heard_ns <= self._arbiter.config.human_age_max_ns

    def _release(self, now_ns: int) -> None:
        self._arbiter.saw(now_ns)
        self._lanes.engage_human(False, now_ns)

    def _hand(self, what: str, owner: str, now_ns: int) -> str:
        lane = next((one for one in self._lanes.all if what in (one.name, *one.names)), None)
        if lane is None:
            known = ", ".join(one.name for one in self._lanes.all)
            return f"no such group or axis, there is: {known}"
        if owner not in {HUMAN, POLICY}:
            return f"'{owner[:40]}' cannot be asked for, needs human or policy"
        trouble = self._trouble()
        if trouble:
            return trouble
        if self.mode == ASSIST and what == lane.name and lane.role.forbids(owner):
            return self._reassign(lane, owner, now_ns)
        if lane.role.forbids(owner):
            return lane.role.forbids(owner)
        if owner == HUMAN and not self._fresh(lane, now_ns):
            return "no fresh target: move the device, or press its deadman"
        axis = lane.names.index(what) if what != lane.name else None
        return self._give(lane, axis, owner, now_ns)

    def _give(self, lane: Drivers, axis: int | None, owner: str, now_ns: int) -> str:
        (self._let_go.discard if owner == HUMAN else self._let_go.add)(lane.name)
        share = np.full(len(lane.names), float(owner == HUMAN))
        if axis is not None:
            share = lane.share.copy()
            share[axis] = float(owner == HUMAN)
        if not share.any():
            lane.engage_human(False, now_ns)
            lane.release(now_ns)
            return ""
        begins = not lane.human.engaged
        lane.engage_human(True, now_ns)
        in_force = self._in_force()
        if in_force is not None and not np.array_equal(share, lane.share):
            at_ns = self._arbiter.in_force_ns(now_ns)
            part = part_of(in_force, lane.part)
            lane.divide(None if share.all() else share, part, at_ns)
            begins = True
        if begins and lane.heard is not None:
            lane.move_human(lane.heard, now_ns)
            self.approach(now_ns, (lane,))
        return ""

    def _change_mode(self, mode: str, now_ns: int) -> str:
        if mode not in MODES:
            return f"'{mode[:40]}' is none, needs one of: {', '.join(MODES)}"
        if mode != self.mode:
            self._lanes.mode = mode
            self._adopt(now_ns)
        return ""

    def _reassign(self, lane: Drivers, owner: str, now_ns: int) -> str:
        """Let a group be another one's in mode assist."""
        others = self._lanes.humans - {lane.name}
        self._lanes.humans = others | {lane.name} if owner == HUMAN else others
        self._adopt(now_ns)
        return ""

    def _adopt(self, now_ns: int) -> None:
        self._lanes.adopt(self._arbiter.config, now_ns)
        self.approach(now_ns)

    def _note(self, now_ns: int) -> None:
        for lane in self._lanes.all:
            if self._since.get(lane.name, ("", LONG_AGO))[0] != lane.owner:
                self._since[lane.name] = (lane.owner, now_ns)

    def _ownership(self, lane: Drivers, now_ns: int) -> Ownership:
        weights = lane.weights(now_ns)
        owner, since_ns = self._since[lane.name]
        same = (weights == weights[0]).all()
        axes = {} if same else dict(zip(lane.names, weights.tolist()))
        return Ownership(lane.name, owner, self.mode, float(weights.max()), since_ns, axes)

"""What words ask of an arbiter: to wait, to go on, to bring groups somewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from arfm_ros.core.errors import SafetyError
from arfm_ros.core.safety.lanes import part_of
from arfm_ros.core.safety.limits import F64, Target, check_vector
from arfm_ros.core.safety.space import cut

if TYPE_CHECKING:
    from arfm_ros.core.safety.arbiter import Arbiter
    from arfm_ros.core.safety.drivers import Drivers

LOOKS = 32  # places on an errand's way that are looked at


class Orders:
    """Stop, go on, ask, go somewhere; each is answered by '' or why it is refused."""

    def __init__(self, arbiter: Arbiter) -> None:
        self._arbiter, self._lanes = arbiter, arbiter.lanes

    def pause(self, reason: str, now_ns: int) -> None:
        """Brake and hold all groups until `resume`; ends errands."""
        self._arbiter.saw(now_ns)
        self._lanes.pause(reason, now_ns)

    def resume(self, now_ns: int) -> str:
        """End a pause and errands that stay: the policy goes on with a fresh chunk."""
        self._arbiter.saw(now_ns)
        if not self._lanes.all[0].paused and not any(one.errand for one in self._lanes.all):
            return "nothing is paused"
        for lane in self._lanes.all:
            lane.paused = ""
            lane.release(now_ns)
        self.approach(now_ns)
        return ""

    def ask(self, reason: str, now_ns: int) -> None:
        """Hold what is the policy's, '' no more; whoever owns a group keeps it."""
        self._arbiter.saw(now_ns)
        self._lanes.ask(reason, now_ns)

    def go(self, name: str, goals: Mapping[str, F64], stays: bool, now_ns: int) -> str:
        """Let groups go to goals [A of the group] by themselves; one that stays waits there."""
        self._arbiter.saw(now_ns)
        refusal = self._trouble() or self._go(name, goals, stays, now_ns)
        return self._arbiter.refuse(f"{name}: {refusal}") if refusal else ""

    def approach(self, now_ns: int, lanes: tuple[Drivers, ...] | None = None) -> None:
        """Go from the command in force to the human's targets at bounded speeds."""
        at_ns = self._arbiter.in_force_ns(now_ns)
        self._lanes.approach_human(now_ns, self._in_force(), at_ns, lanes)

    def _trouble(self) -> str:
        arbiter = self._arbiter
        if arbiter.limiter is None or arbiter.leaving:
            return "not engaged"
        if arbiter.estop.latched:
            return arbiter.estop.reason
        return arbiter.fault or ("joint state is stale" if arbiter.watch.stale else "")

    def _go(self, name: str, goals: Mapping[str, F64], stays: bool, now_ns: int) -> str:
        config, in_force = self._arbiter.config, self._in_force()
        assert in_force is not None
        goal = np.clip(in_force.position, config.limits.low, config.limits.high)
        those = [lane for lane in self._lanes.all if lane.name in goals]
        if not those:
            return "the robot has no such group"
        for lane in those:
            if lane.human.engaged:
                return f"a person drives {lane.name}: it has to let go first"
            goal[lane.part] = goals[lane.name]
        try:
            goal = check_vector(goal, config.limits, "goal")
        except SafetyError as error:
            return str(error)
        goal = np.clip(goal, config.limits.low, config.limits.high)
        steps = np.arange(1, LOOKS + 1)[:, None] / LOOKS
        _, outside = cut(
            config.space, goal * steps + in_force.position * (1 - steps), in_force.position
        )
        if outside:
            return outside
        at_ns = self._arbiter.in_force_ns(now_ns)
        for lane in those:
            lane.send(name, goal[lane.part], stays, part_of(in_force, lane.part), at_ns)
        return ""

    def _in_force(self) -> Target | None:
        limiter = self._arbiter.limiter
        return None if limiter is None else Target(limiter.position, limiter.velocity)

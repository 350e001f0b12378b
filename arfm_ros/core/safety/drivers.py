"""Who may move a lane, policy or human, and where each wants it now."""

from __future__ import annotations

import numpy as np

from arfm_ros.core.chunks.player import ChunkPlayer, Start
from arfm_ros.core.safety.decision import HOLD, HUMAN, POLICY, SETTLE, ArbiterConfig, Lane
from arfm_ros.core.safety.human import HumanTarget, approach, blend
from arfm_ros.core.safety.limiter import Limiter
from arfm_ros.core.safety.limits import F64, Target
from arfm_ros.core.values.data import ActionChunk

ARRIVED_RAD = 1e-3

Choice = tuple[str, str, Target | None]  # authority, reason, where the command should be


class Drivers:
    """The chunk in force, the human's target, and a position to rest at without either.

    Of one lane: its axes are `part` of the command vector.
    """

    def __init__(self, config: ArbiterConfig, lane: Lane, part: slice) -> None:
        self.config, self.name, self.part = config, lane.name, part
        self.names = config.limits.names[part]
        self.player = ChunkPlayer(config.blend_ns, lead=lane.lead)
        self._human = HumanTarget()
        self._rest: F64 | None = None  # where a hold without a fault glides to
        self._lead_ns = config.smooth_ns // 2  # what is sent lags the limiter by as much

    def forget(self, now_ns: int, rest: F64 | None = None) -> None:
        """Drop the chunk in force and refuse older observations; glide to `rest` [A], if given."""
        self.player.clear(now_ns)
        self._rest = rest

    def play(self, chunk: ActionChunk, at_ns: int, in_force: Target, start: Start) -> str:
        """Take over this lane's part of a chunk; return '' or why it was refused."""
        refusal = self.player.add(chunk, at_ns, in_force, start)
        if not refusal:
            self._rest = None
        return refusal

    def executing(self, at_ns: int) -> bool:
        """Tell whether a path lies ahead at `at_ns`, or a human drives."""
        return self._human.engaged or self.player.moves(at_ns + self._lead_ns)

    def engage_human(self, engaged: bool, now_ns: int) -> None:
        """Give the human priority, or hand back: then older observations no longer count."""
        if engaged == self._human.engaged:
            return
        self._human, self._rest = HumanTarget(engaged, now_ns), None
        if not engaged:
            self.player.clear(now_ns)

    def move_human(self, position: F64, now_ns: int) -> bool:
        """Take the human's target [A]; return whether it begins or goes on after a gap."""
        self.engage_human(True, now_ns)
        age_ns = now_ns - self._human.stamp_ns
        resumes = self._human.at(now_ns) is None or age_ns > self.config.human_age_max_ns
        self._human.move(position, now_ns, self.config.human_age_max_ns)
        return resumes

    def approach_human(self, now_ns: int, in_force: Target | None, at_ns: int) -> None:
        """Go from the command in force at `at_ns` to the human's target at a bounded speed."""
        self._human.fade = None
        human = self._human.at(now_ns)
        if human is not None and in_force is not None:
            self._human.fade = approach(in_force, human, self.config, at_ns)

    def choose(self, now_ns: int, limiter: Limiter) -> Choice:
        """Return who drives at `now_ns` and where to."""
        human = self._human.engaged and self.config.human_blend > 0.0
        return self._human_drives(now_ns) if human else self._policy_drives(now_ns, limiter)

    def _human_drives(self, now_ns: int) -> Choice:
        age_ms = (now_ns - self._human.stamp_ns) / 1e6
        if age_ms > self.config.human_age_max_ns / 1e6:
            return HOLD, f"teleop target is {age_ms:.0f} ms old", None
        human = self._human.at(now_ns + self._lead_ns)
        policy = self.player.command(now_ns + self._lead_ns)
        if human is None:
            return HUMAN, "waiting for the first teleop target", None
        if policy is None:
            return HUMAN, "", human
        return HUMAN, "", blend(policy, human, self.config.human_blend)

    def _policy_drives(self, now_ns: int, limiter: Limiter) -> Choice:
        target = self.player.command(now_ns + self._lead_ns)
        if target is None:
            still = np.zeros(len(self.names))
            rest = None if self._rest is None else Target(self._rest, still)
            return HOLD, "waiting for a chunk", rest
        if not target.ended:
            return POLICY, "", target
        near = np.abs(target.position - limiter.position[self.part]).max() < ARRIVED_RAD
        resting = near and limiter.at_rest(self.part)
        return (HOLD if resting else SETTLE), "chunk ended", target

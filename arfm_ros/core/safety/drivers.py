"""Who may move a lane, person, words or policy, and where each wants it now."""

from __future__ import annotations

import numpy as np

from arfm_ros.core.chunks.player import LONG_AGO, ChunkPlayer, Start
from arfm_ros.core.safety.decision import (
    HOLD,
    HUMAN,
    POLICY,
    SETTLE,
    WORDS,
    ArbiterConfig,
    Lane,
)
from arfm_ros.core.safety.human import HumanTarget, approach, blend
from arfm_ros.core.safety.limiter import Limiter
from arfm_ros.core.safety.limits import F64, Target
from arfm_ros.core.sharing.errand import Errand
from arfm_ros.core.sharing.handback import Coast, HandBack
from arfm_ros.core.sharing.modes import ASSIST, TELEOP, Role
from arfm_ros.core.values.data import ActionChunk

ARRIVED_RAD = 1e-3

Choice = tuple[str, str, Target | None]  # authority, reason, where the command should be


class Drivers:
    """The chunk in force, the human's target, an errand, and a position to rest at without them.

    Of one lane: its axes are `part` of the command vector.
    """

    def __init__(self, config: ArbiterConfig, lane: Lane, part: slice) -> None:
        self.config, self.name, self.part = config, lane.name, part
        self.names, self._units = config.limits.names[part], lane.units
        self.player = ChunkPlayer(config.blend_ns, lead=lane.lead)
        self.role = Role(weight=config.human_blend)
        self.paused = ""  # why all but an errand waits
        self.asking = ""  # why the policy waits
        self.heard: F64 | None = None  # the last target of a person, taken or not
        self.errand: Errand | None = None
        self.heard_ns = LONG_AGO  # when it came
        self._human = HumanTarget()
        self._share: F64 | None = None  # [A], 1 for the axes that are the human's; None: all
        self._still: Coast | None = None  # where axes rest that nobody moves while others are
        self._back: HandBack | None = None
        self._returning = False  # the next chunk is the first after the human's
        self._rest: F64 | None = None  # where a hold without a fault glides to
        self._lead_ns = config.smooth_ns // 2  # what is sent lags the limiter by as much

    @property
    def owner(self) -> str:
        """Whose the lane is: exactly one of human, words and policy."""
        if self._human.engaged:
            return HUMAN
        if self.errand is not None:
            return WORDS
        return POLICY if self.role.policy else HUMAN

    @property
    def human(self) -> HumanTarget:
        """What the human wants of it."""
        return self._human

    def weights(self, now_ns: int) -> F64:
        """Return the human's weight [A] at `now_ns`, in [0, 1]."""
        ones = np.ones(len(self.names))
        kept = 0.0 if self._back is None else self._back.weight(now_ns)
        if not self._human.engaged:
            return kept * ones
        share = ones if self._share is None else np.maximum(self._share, kept)
        return np.asarray(self.role.weight * share)

    def adopt(self, config: ArbiterConfig, now: Role, now_ns: int) -> None:
        """Go on with other limits and times, or in another role; who may not drive lets go."""
        before, self.role, self.config = self.role, now, config
        if (before.policy, before.weight) != (self.role.policy, self.role.weight):
            self.player.clear(now_ns)
        if not self.role.human:
            self.engage_human(False, now_ns)

    def forget(self, now_ns: int, rest: F64 | None = None) -> None:
        """Drop what is under way and refuse older observations; glide to `rest` [A], if given."""
        self.clear(now_ns)
        self._rest = rest

    def clear(self, now_ns: int) -> None:
        """Drop what is under way and refuse older observations."""
        self.player.clear(now_ns)
        self.errand = self._back = None

    def play(self, chunk: ActionChunk, at_ns: int, in_force: Target, start: Start) -> str:
        """Take over this lane's part of a chunk; return '' or why it was refused."""
        whole = self._share is None and self.role.weight in {0.0, 1.0}
        mixed = self._human.engaged and not whole
        mixed = mixed or (self._back is not None and not self._back.over(at_ns))
        own = self.player.command(at_ns) if mixed else None  # what is mixed follows on from itself
        refusal = self.player.add(chunk, at_ns, own or in_force, start)
        if refusal:
            return refusal
        self._rest = None
        duration_ns = self.config.sharing.give_back_ns
        if self._returning and duration_ns:
            self._back = HandBack(self._coast(in_force, at_ns), at_ns, duration_ns)
        self._returning = False
        return ""

    def executing(self, at_ns: int) -> bool:
        """Tell whether a path lies ahead at `at_ns`, or a human drives."""
        ahead_ns = at_ns + self._lead_ns
        if self._human.engaged or (self.errand is not None and ahead_ns < self.errand.end_ns):
            return True
        return self.role.policy and self.player.moves(ahead_ns)

    def engage_human(self, engaged: bool, now_ns: int) -> None:
        """Give the human priority, or hand back: then older observations no longer count."""
        if engaged == self._human.engaged or (engaged and not self.role.human):
            return
        self._human, self._rest = HumanTarget(engaged, now_ns), None
        self.errand = self._share = self._still = self._back = None
        self._returning = not engaged
        if not engaged:
            self.player.clear(now_ns)

    def divide(self, share: F64 | None, in_force: Target, at_ns: int) -> None:
        """Let the human have some axes, 1 in `share` [A]; those given back wait for a chunk."""
        before = np.ones(len(self.names)) if self._share is None else self._share
        if share is not None and (share < before).any() and self._human.position is not None:
            self.player.clear(at_ns)
            self._returning = True
        self._share, self._still = share, self._coast(in_force, at_ns)

    @property
    def share(self) -> F64:
        """Which axes [A] are the human's, 1 or 0."""
        if not self._human.engaged:
            return np.zeros(len(self.names))
        return np.ones(len(self.names)) if self._share is None else self._share

    def move_human(self, position: F64, now_ns: int) -> bool:
        """Take the human's target [A]; return whether it begins or goes on after a gap."""
        self.engage_human(True, now_ns)
        age_ns = now_ns - self._human.stamp_ns
        resumes = self._human.at(now_ns) is None or age_ns > self.config.human_age_max_ns
        self._human.move(position, now_ns, self.config.human_age_max_ns)
        return resumes

    def approach_human(self, now_ns: int, in_force: Target | None, at_ns: int) -> None:
        """Go from the command in force at `at_ns` to the human's target at a bounded speed."""
        self._human.fades = ()
        human = self._human.at(now_ns)
        if human is not None and in_force is not None:
            self._human.fades = approach(in_force, human, self.config, self._units, at_ns)

    def send(self, name: str, goal: F64, stays: bool, in_force: Target, at_ns: int) -> None:
        """Go to `goal` [A] at a bounded speed; the policy's chunk in force no longer counts."""
        wanted = Target(goal, np.zeros_like(goal))
        fades = approach(in_force, wanted, self.config, self._units, at_ns)
        self.clear(at_ns)
        self.errand, self._rest = Errand(name, goal, fades, stays), None

    def finish(self, now_ns: int, limiter: Limiter) -> None:
        """Give the lane back to the policy after an errand that does not stay."""
        errand = self.errand
        if errand is None or errand.stays or now_ns + self._lead_ns < errand.end_ns:
            return
        if limiter.at_rest(self.part):
            self.release(now_ns)

    def release(self, now_ns: int) -> None:
        """End an errand: the policy goes on with a fresh chunk."""
        if self.errand is not None:
            self.clear(now_ns)
            self._returning = True

    def silent(self, now_ns: int) -> str:
        """Say for how long the human who drives has said nothing; '' where that is no matter."""
        drives = self._human.engaged and self.role.weight > 0.0
        age_ns = now_ns - self._human.stamp_ns
        if not drives or self.errand is not None or age_ns <= self.config.human_age_max_ns:
            return ""
        return f"teleop target is {age_ns / 1e6:.0f} ms old"

    def choose(self, now_ns: int, limiter: Limiter) -> Choice:
        """Return who drives at `now_ns` and where to; a human that is not `silent`."""
        if self.errand is not None:
            return self._errand_drives(self.errand, now_ns, limiter)
        if self.paused:
            return HOLD, self.paused, None
        if self._human.engaged and self.role.weight > 0.0:
            return self._human_drives(now_ns)
        if self.asking:
            return HOLD, self.asking, None
        if not self.role.policy:
            who = "words or a person" if self.role.mode in {TELEOP, ASSIST} else "a person"
            return HOLD, f"mode {self.role.mode}: waits for {who}", self._resting()
        return self._policy_drives(now_ns, limiter)

    def disagreement(self, now_ns: int) -> dict[str, float]:
        """Return how far the human is from the policy's plan: unit -> largest difference."""
        path, human = self.player.path, self._human.at(now_ns)
        if path is None or human is None or not self._human.engaged or path.ended(now_ns):
            return {}
        apart = np.abs(human.position - path.at(now_ns).position)
        units = self._units or ("rad",) * len(apart)
        return {
            unit: max(float(a) for a, u in zip(apart, units) if u == unit)
            for unit in dict.fromkeys(units)
        }

    def _human_drives(self, now_ns: int) -> Choice:
        at_ns = now_ns + self._lead_ns
        human = self._human.at(at_ns)
        policy = self.player.command(at_ns)
        if human is None:
            return HUMAN, "waiting for the first teleop target", None
        if self._share is not None:
            return HUMAN, "", self._divided(policy, human, self._share, at_ns)
        if policy is None:
            return HUMAN, "", human
        return HUMAN, "", blend(policy, human, self.role.weight)

    def _divided(self, policy: Target | None, human: Target, share: F64, at_ns: int) -> Target:
        """Return the human's target for its axes, the policy's or a rest for the others."""
        if policy is None or self._still is None:
            other = human if self._still is None else self._still.at(at_ns)
        else:
            other = policy if self._back is None else self._back.mix(policy, at_ns)
        return blend(other, human, share * self.role.weight)

    def _errand_drives(self, errand: Errand, now_ns: int, limiter: Limiter) -> Choice:
        at_ns = now_ns + self._lead_ns
        target = errand.at(at_ns)
        if errand.stays and at_ns >= errand.end_ns and limiter.at_rest(self.part):
            return HOLD, f"{errand.name}: done, waits for 'resume'", target
        return WORDS, errand.name, target

    def _policy_drives(self, now_ns: int, limiter: Limiter) -> Choice:
        at_ns = now_ns + self._lead_ns
        target = self.player.command(at_ns)
        if target is None:
            return HOLD, "waiting for a chunk", self._resting()
        if self._back is not None:
            target = self._back.mix(target, at_ns)
        if not target.ended:
            return POLICY, "", target
        near = np.abs(target.position - limiter.position[self.part]).max() < ARRIVED_RAD
        resting = near and limiter.at_rest(self.part)
        if not near and at_ns - self.player.end_ns > self.config.settle_ns:
            return HOLD, "chunk ended, its end was not reached", None
        return (HOLD if resting else SETTLE), "chunk ended", target

    def _resting(self) -> Target | None:
        return None if self._rest is None else Target(self._rest, np.zeros(len(self.names)))

    def _coast(self, in_force: Target, at_ns: int) -> Coast:
        return Coast.of(in_force, at_ns, self.config.limits.acceleration[self.part])

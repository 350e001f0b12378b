"""The lanes of a robot: parts of the command vector, each with a driver of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from arfm_ros.core.chunks.player import LONG_AGO, Start
from arfm_ros.core.errors import SafetyError
from arfm_ros.core.safety.decision import (
    ESTOP,
    HOLD,
    HUMAN,
    IDLE,
    POLICY,
    SETTLE,
    WORDS,
    ArbiterConfig,
)
from arfm_ros.core.safety.drivers import Choice, Drivers
from arfm_ros.core.safety.limiter import Limiter, Move
from arfm_ros.core.safety.limits import F64, Target
from arfm_ros.core.sharing.modes import ASSIST, SHARED, Role
from arfm_ros.core.values.data import ActionChunk

# what a robot is said to do whose lanes do different things: the first of these
FOREMOST = (ESTOP, HUMAN, WORDS, POLICY, SETTLE, HOLD, IDLE)


@dataclass(frozen=True, slots=True)
class Choices:
    """Who drives each lane, why, and where to."""

    lanes: tuple[Drivers, ...]
    each: tuple[Choice, ...]

    @property
    def moves(self) -> list[Move]:
        """What the limiter is to do."""
        return [(lane.part, target) for lane, (*_, target) in zip(self.lanes, self.each)]

    @property
    def asked(self) -> bool:
        """Whether any lane is to go anywhere."""
        return any(target is not None for *_, target in self.each)

    @property
    def owners(self) -> dict[str, str]:
        """Lane -> authority."""
        return {lane.name: who for lane, (who, *_) in zip(self.lanes, self.each)}

    @property
    def foremost(self) -> tuple[str, str]:
        """The authority and the reason that stand for all lanes."""
        authority, reason, _ = min(self.each, key=lambda one: FOREMOST.index(one[0]))
        return authority, reason


class Lanes:
    """All drivers of a robot; one limiter moves what they ask for."""

    def __init__(self, config: ArbiterConfig) -> None:
        self.all = tuple(Drivers(config, lane, part) for lane, part in config.parts)
        self.newest = self.all[0]  # the first lane of the newest chunk
        sharing = config.sharing
        self.mode = sharing.mode
        self.humans = frozenset(sharing.assist or (self.all[0].name,))  # lanes in mode assist
        self.adopt(config, LONG_AGO)

    def adopt(self, config: ArbiterConfig, now_ns: int) -> None:
        """Go on with other limits and times, or in another `mode`."""
        for lane in self.all:
            lane.adopt(config, role(self.mode, lane.name in self.humans, config), now_ns)

    @property
    def waiting(self) -> str:
        """Why the policy waits in all lanes; '' where it does not."""
        return self.all[0].paused or self.all[0].asking

    def pause(self, reason: str, now_ns: int) -> None:
        """Let everybody wait in all lanes, '' no more; ends errands, and chunks in force."""
        self.clear(now_ns)
        for lane in self.all:
            lane.paused = reason

    def ask(self, reason: str, now_ns: int) -> None:
        """Let the policy wait in all lanes, '' no more; only newer observations count then."""
        for lane in self.all:
            lane.asking = reason
            lane.player.clear(now_ns)

    def finish(self, now_ns: int, limiter: Limiter) -> None:
        """Give back what an errand has ended in."""
        for lane in self.all:
            lane.finish(now_ns, limiter)

    def forget(self, now_ns: int, rest: F64 | None = None) -> None:
        """Drop what is under way and refuse older observations; glide to `rest` [A], if given."""
        for lane in self.all:
            lane.forget(now_ns, None if rest is None else rest[lane.part])

    def clear(self, now_ns: int) -> None:
        """Drop the chunks and errands in force and refuse older observations."""
        for lane in self.all:
            lane.clear(now_ns)

    def executing(self, at_ns: int) -> bool:
        """Tell whether a path lies ahead at `at_ns`, or a human drives."""
        return any(lane.executing(at_ns) for lane in self.all)

    def spread(
        self, chunk: ActionChunk, limiter: Limiter
    ) -> tuple[tuple[Drivers, ...], ActionChunk]:
        """Return the lanes that a chunk commands, and it with all axes: others stay.

        Raises `SafetyError` for an axis that the robot lacks, and for a lane in parts.
        """
        names = limiter.limits.names
        if chunk.names == names:
            return self.all, chunk
        unknown = [name for name in chunk.names if name not in names]
        twice = len(set(chunk.names)) < len(chunk.names)
        if unknown or twice or not chunk.names:
            raise SafetyError(
                f"chunk has axes {', '.join(chunk.names)}, the robot takes {', '.join(names)}"
            )
        those = [lane for lane in self.all if any(n in chunk.names for n in lane.names)]
        for lane in those:
            missing = [name for name in lane.names if name not in chunk.names]
            if missing:
                raise SafetyError(f"chunk lacks {', '.join(missing)} of group {lane.name}")
        still = np.clip(limiter.position, limiter.limits.low, limiter.limits.high)
        actions = np.tile(still.astype(np.float32), (len(chunk.actions), 1))
        actions[:, [names.index(name) for name in chunk.names]] = chunk.actions
        return tuple(those), replace(chunk, actions=actions, names=names)

    def play(
        self,
        chunk: ActionChunk,
        lanes: tuple[Drivers, ...],
        at_ns: int,
        in_force: Target,
        start: Start,
    ) -> str:
        """Take over a chunk of all axes in some lanes; return '' or why it was refused."""
        for lane in lanes:
            refusal = lane.play(_cut(chunk, lane.part), at_ns, part_of(in_force, lane.part), start)
            if refusal:  # lanes differ only in what they have done before
                return refusal
        self.newest = lanes[0]
        return ""

    def choose(self, now_ns: int, limiter: Limiter) -> Choices:
        """Return who drives each lane at `now_ns`, and where to.

        A human who drives and falls silent stops all lanes: the robot does not go on in parts.
        """
        silence = next(filter(None, (lane.silent(now_ns) for lane in self.all)), "")
        if silence:
            return self.alike(HOLD, silence)
        return Choices(self.all, tuple(lane.choose(now_ns, limiter) for lane in self.all))

    def alike(self, authority: str, reason: str) -> Choices:
        """Return the choice that all lanes brake."""
        return Choices(self.all, ((authority, reason, None),) * len(self.all))

    def engage_human(self, engaged: bool, now_ns: int) -> None:
        """Give the human priority, or hand back."""
        for lane in self.all:
            lane.engage_human(engaged, now_ns)

    def move_human(
        self, position: F64, now_ns: int, lanes: tuple[Drivers, ...] | None = None
    ) -> tuple[Drivers, ...]:
        """Take the human's target [A]; return the lanes where it begins or ends a gap."""
        those = self.all if lanes is None else lanes
        return tuple([one for one in those if one.move_human(position[one.part], now_ns)])

    def approach_human(
        self,
        now_ns: int,
        in_force: Target | None,
        at_ns: int,
        lanes: tuple[Drivers, ...] | None = None,
    ) -> None:
        """Go from the command in force at `at_ns` to the human's targets at bounded speeds."""
        for lane in self.all if lanes is None else lanes:
            lane.approach_human(
                now_ns, None if in_force is None else part_of(in_force, lane.part), at_ns
            )


def part_of(target: Target, part: slice) -> Target:
    """Return the part of a target that is a lane's."""
    return Target(target.position[part], target.velocity[part])


def _cut(chunk: ActionChunk, part: slice) -> ActionChunk:
    if part.start == 0 and part.stop == len(chunk.names):
        return chunk
    return replace(chunk, actions=chunk.actions[:, part], names=chunk.names[part])


def role(mode: str, humans: bool, config: ArbiterConfig) -> Role:
    """Return what `mode` means for a lane; `humans`: it is the person's in mode assist."""
    if mode == SHARED:
        return Role(mode, config.sharing.shared_weight)
    if mode == POLICY:
        return Role(mode, config.human_blend)
    if mode == ASSIST:
        return Role(mode, human=humans, policy=not humans)
    return Role(mode, policy=False)

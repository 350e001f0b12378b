"""The lanes of a robot: parts of the command vector, each with a driver of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from arfm_ros.core.chunks.player import Start
from arfm_ros.core.errors import SafetyError
from arfm_ros.core.safety.decision import (
    ESTOP,
    HOLD,
    HUMAN,
    IDLE,
    POLICY,
    SETTLE,
    ArbiterConfig,
)
from arfm_ros.core.safety.drivers import Choice, Drivers
from arfm_ros.core.safety.limiter import Limiter, Move
from arfm_ros.core.safety.limits import F64, Target
from arfm_ros.core.values.data import ActionChunk

# what a robot is said to do whose lanes do different things: the first of these
FOREMOST = (ESTOP, HUMAN, POLICY, SETTLE, HOLD, IDLE)


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

    def adopt(self, config: ArbiterConfig) -> None:
        """Go on with other limits and times."""
        for lane in self.all:
            lane.config = config

    def forget(self, now_ns: int, rest: F64 | None = None) -> None:
        """Drop what is under way and refuse older observations; glide to `rest` [A], if given."""
        for lane in self.all:
            lane.forget(now_ns, None if rest is None else rest[lane.part])

    def clear(self, now_ns: int) -> None:
        """Drop the chunks in force and refuse older observations."""
        for lane in self.all:
            lane.player.clear(now_ns)

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
            refusal = lane.play(_cut(chunk, lane.part), at_ns, _part(in_force, lane.part), start)
            if refusal:  # lanes differ only in what they have done before
                return refusal
        self.newest = lanes[0]
        return ""

    def choose(self, now_ns: int, limiter: Limiter) -> Choices:
        """Return who drives each lane at `now_ns`, and where to."""
        return Choices(self.all, tuple(lane.choose(now_ns, limiter) for lane in self.all))

    def alike(self, authority: str, reason: str) -> Choices:
        """Return the choice that all lanes brake."""
        return Choices(self.all, ((authority, reason, None),) * len(self.all))

    def engage_human(self, engaged: bool, now_ns: int) -> None:
        """Give the human priority, or hand back."""
        for lane in self.all:
            lane.engage_human(engaged, now_ns)

    def move_human(self, position: F64, now_ns: int) -> bool:
        """Take the human's target [A]; return whether it begins or goes on after a gap."""
        return any([lane.move_human(position[lane.part], now_ns) for lane in self.all])

    def approach_human(self, now_ns: int, in_force: Target | None, at_ns: int) -> None:
        """Go from the command in force at `at_ns` to the human's targets at bounded speeds."""
        for lane in self.all:
            lane.approach_human(
                now_ns, None if in_force is None else _part(in_force, lane.part), at_ns
            )


def _part(target: Target, part: slice) -> Target:
    return Target(target.position[part], target.velocity[part])


def _cut(chunk: ActionChunk, part: slice) -> ActionChunk:
    if part.start == 0 and part.stop == len(chunk.names):
        return chunk
    return replace(chunk, actions=chunk.actions[:, part], names=chunk.names[part])

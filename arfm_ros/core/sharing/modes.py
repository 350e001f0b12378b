"""The modes in which a person and the policy share a robot, and what each means for a group."""

from __future__ import annotations

from dataclasses import dataclass

from arfm_ros.core.errors import ConfigError, SafetyError

POLICY, HUMAN, WORDS = "policy", "human", "words"
OWNERS = (POLICY, HUMAN, WORDS)
TELEOP, SHARED, ASSIST, SHADOW = "teleop", "shared", "assist", "shadow"
MODES = (POLICY, TELEOP, SHARED, ASSIST, SHADOW)
MODE = "mode"  # the key of a request that names one
REQUEST_MAX = 1000  # characters


@dataclass(frozen=True, slots=True)
class Sharing:
    """How a robot is shared; without `assist` the first group is the person's in that mode."""

    mode: str = POLICY
    shared_weight: float = 0.5  # of the person in mode shared
    assist: tuple[str, ...] = ()  # groups that are the person's in mode assist
    give_back_ns: int = 0  # how long the policy's weight takes from 0 to 1
    deadman_grace_ns: int = 50_000_000  # how long a pressed deadman waits to know its groups

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"mode is '{self.mode}', needs one of: {', '.join(MODES)}")
        if not 0.0 < self.shared_weight < 1.0:
            raise ConfigError(f"shared_weight is {self.shared_weight}, needs to be in (0, 1)")


@dataclass(frozen=True, slots=True)
class Role:
    """What a mode means for one group."""

    mode: str = POLICY
    weight: float = 1.0  # of a person who drives
    human: bool = True  # a person may drive
    policy: bool = True  # the policy may drive

    def forbids(self, owner: str) -> str:
        """Say why `owner` may not have the group; '' if it may."""
        if owner == HUMAN and not self.human or owner == POLICY and not self.policy:
            return f"mode {self.mode} forbids it: ask for another mode first"
        return ""


def read_request(text: str) -> tuple[tuple[str, str], ...]:
    """Read "mode=assist arm=human": pairs of what and owner, in order, the mode first.

    Raises `SafetyError` for anything else.
    """
    if len(text) > REQUEST_MAX:
        raise SafetyError(f"request has {len(text)} characters, takes {REQUEST_MAX}")
    pairs = []
    for word in text.split():
        what, equals, owner = word.partition("=")
        if not (what and equals and owner) or "=" in owner:
            raise SafetyError(f"request has {word[:40]!r}, needs GROUP=OWNER or mode=MODE")
        pairs.append((what, owner))
    if not pairs:
        raise SafetyError("request is empty, needs GROUP=OWNER or mode=MODE")
    return tuple(sorted(pairs, key=lambda pair: pair[0] != MODE))

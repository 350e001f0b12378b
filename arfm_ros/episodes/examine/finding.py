"""One fault of an episode, and what an episode is compared by with others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault and its remedy."""

    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class Traits:
    """What episodes of one task and robot have in common."""

    folder: Path
    kind: tuple[str, str] = ("", "")  # task and hash of the robot's description
    begin: Mapping[str, float] = field(default_factory=dict)  # where each axis starts
    colour: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)  # mean RGB

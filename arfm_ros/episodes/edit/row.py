"""What a list tells of an episode."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One episode; `state` is that of its manifest, or unfinished, or broken."""

    folder: Path
    state: str
    begin: str = ""  # local time, as in the name of a folder
    seconds: float = 0.0
    messages: int = 0
    bytes: int = 0
    task: str = ""
    success: bool | None = None
    operator: str = ""
    bundle: str = ""
    human: bool = False  # somebody took over
    verdict: str = ""
    why: str = ""

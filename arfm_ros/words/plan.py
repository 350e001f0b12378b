"""Sub-goals: a list of instructions, each with what shows that it is done, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from arfm_ros.core.errors import ConfigError
from arfm_ros.words.lexicon import NEXT, PAUSE, RESUME, STOP, TEXT_MAX

NS = 1_000_000_000
KEYS = {"say", "topic", "next", "time_s", "timeout_s"}


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: done when `topic` says true, the operator says next, or after `time_s`."""

    say: str
    topic: str = ""
    next: bool = False
    time_s: float = 0.0
    timeout_s: float = 0.0  # not done by then: the plan pauses; 0: it waits for ever

    def __post_init__(self) -> None:
        if not self.say.strip() or len(self.say) > TEXT_MAX:
            raise ConfigError(f"'{self.say[:40]}' needs words to say, at most {TEXT_MAX}")
        tests = bool(self.topic) + self.next + (self.time_s > 0.0)
        if tests != 1 or self.time_s < 0.0 or self.timeout_s < 0.0:
            raise ConfigError(
                f"'{self.say[:40]}' needs one of: topic: NAME, next: true, time_s: above 0"
            )


def load_plan(path: Path) -> tuple[Step, ...]:
    """Read a plan: a YAML list of steps; raises `ConfigError` naming the file and the step."""
    try:
        raw = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if not isinstance(raw, list) or not raw:
        raise ConfigError(f"{path.name}: needs a list of steps, at least one")
    return tuple(_step(path.name, number, given) for number, given in enumerate(raw, 1))


def _step(file: str, number: int, given: Any) -> Step:
    if not isinstance(given, Mapping) or not set(given) <= KEYS or "say" not in given:
        raise ConfigError(f"{file}: step {number} needs `say` and of {', '.join(sorted(KEYS))}")
    try:
        return Step(**{**given, "say": str(given["say"])})
    except (TypeError, ConfigError) as error:
        raise ConfigError(f"{file}: step {number}: {error}") from error


class PlanRun:
    """Where a plan stands; `take` gives what is to be said now."""

    def __init__(self, steps: tuple[Step, ...], now_ns: int) -> None:
        self._steps, self._at, self._since_ns = steps, 0, now_ns
        self._paused_ns: int | None = None
        self._say = steps[0].say
        self.trouble = ""  # why it waits for the operator

    @property
    def step(self) -> Step | None:
        """The step under way; None at the end."""
        return self._steps[self._at] if self._at < len(self._steps) else None

    @property
    def number(self) -> int:
        """Number of the step under way, from 1."""
        return self._at + 1

    def take(self) -> str:
        """Return, once, what is to be said now; '' where nothing is."""
        said, self._say = self._say, ""
        return said

    def hear(self, verb: str, now_ns: int) -> None:
        """Take a word of the operator: pause, resume, next; stop ends the plan."""
        if verb == STOP:
            self._at, self._say = len(self._steps), ""
        elif verb == PAUSE and self._paused_ns is None:
            self._paused_ns = now_ns
        elif verb == RESUME and self._paused_ns is not None:
            self._since_ns += now_ns - self._paused_ns
            self._paused_ns, self.trouble = None, ""
        elif verb == NEXT and self.step is not None:
            self._advance(now_ns)

    def told(self, topic: str, done: bool, now_ns: int) -> None:
        """Take a message of a done-test."""
        step = self.step
        if step is not None and done and step.topic == topic and self._paused_ns is None:
            self._advance(now_ns)

    def tick(self, now_ns: int) -> str:
        """Let time pass; return PAUSE once when a step is not done in its time."""
        step = self.step
        if step is None or self._paused_ns is not None:
            return ""
        spent_ns = now_ns - self._since_ns
        if step.time_s and spent_ns >= step.time_s * NS:
            self._advance(now_ns)
        elif step.timeout_s and spent_ns >= step.timeout_s * NS:
            self.trouble = f"step {self.number} '{step.say}' is not done in {step.timeout_s:g} s"
            self._paused_ns = now_ns
            self._since_ns = now_ns  # resumed, it has its whole time again
            return PAUSE
        return ""

    def _advance(self, now_ns: int) -> None:
        self._at += 1
        self._since_ns, self._paused_ns, self.trouble = now_ns, None, ""
        self._say = "" if self.step is None else self.step.say

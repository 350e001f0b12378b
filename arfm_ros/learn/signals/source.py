"""What a signal is: one number for each observation, that tells good from poor."""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.frames import Frames

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
PERIOD_S = 0.05  # between two observations where a cache has no stamps


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """A signal of N observations: `values` [N], NaN where nothing is known.

    `parts` are what it was made of, by name, each [N]: a return, a value.
    """

    values: F64
    parts: Mapping[str, F64] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """One way to tell good from poor; a module each, found by its name."""

    name: ClassVar[str]
    needs_policy: ClassVar[bool]  # it looks at the context of a policy

    def tell(self, frames: Frames, features: F32) -> Told:
        """Compute the signal; `features` [N, D] are the policy's frozen context, else [N, 0]."""


_SOURCES: dict[str, type[Source]] = {}


def register(source: type[Source]) -> type[Source]:
    """Add a source; each module does so for its own when it is imported."""
    if source.name in _SOURCES:
        raise ConfigError(f"signal '{source.name}' is there twice: rename one")
    _SOURCES[source.name] = source
    return source


def sources() -> Mapping[str, type[Source]]:
    """Return all sources by name."""
    _discover()
    return dict(sorted(_SOURCES.items()))


def make_source(name: str, **knobs: float | str | int) -> Source:
    """Make a source. Raises `ConfigError` listing the names, or the knobs that it takes.

    A knob is a word or a number as its default is; numbers are above 0 where that is.
    """
    known = sources()
    if name not in known:
        raise ConfigError(f"signal '{name}', needs one of {', '.join(known)}")
    defaults = {one.name: one.default for one in fields(known[name])}  # type: ignore[arg-type]
    unknown = [key for key in knobs if key not in defaults]
    if unknown:
        takes = ", ".join(f"{k}={v}" for k, v in defaults.items()) or "nothing"
        raise ConfigError(f"signal '{name}' does not take {', '.join(unknown)}; it takes {takes}")
    for key, value in knobs.items():
        wanted = _lacking(value, defaults[key])
        if wanted:
            raise ConfigError(f"signal '{name}': {key}={value}, needs {wanted}")
    return known[name](**knobs)


def _lacking(value: float | str, default: Any) -> str:
    """Say what a knob needs instead of `value`; '' if nothing."""
    if isinstance(default, str) or isinstance(value, str):
        same = isinstance(default, str) and isinstance(value, str)
        return "" if same else ("a word" if isinstance(default, str) else "a number")
    if isinstance(default, int) and not isinstance(value, int):
        return "a whole number"
    low = value <= 0 if default > 0 else value < 0
    return f"a number {'above 0' if default > 0 else 'of 0 or more'}" if low else ""


def parse_source(text: str) -> Source:
    """Read `advantage:kind=expectile,steps=500`. Raises `ConfigError` for what does not fit."""
    name, _, rest = text.partition(":")
    knobs: dict[str, float | str | int] = {}
    for part in filter(None, rest.split(",")):
        key, found, value = part.partition("=")
        if not found:
            raise ConfigError(f"signal {text}: '{part}' needs KNOB=VALUE")
        knobs[key] = number = _number(value)
        if isinstance(number, float) and not math.isfinite(number):
            raise ConfigError(f"signal {text}: {key} needs a finite number, got '{value}'")
    return make_source(name, **knobs)


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@cache
def _discover() -> None:
    package = import_module("arfm_ros.learn.signals")
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")


def episodes_of(frames: Frames) -> list[NDArray[np.int64]]:
    """Return the rows of each episode, in order of time."""
    return [np.flatnonzero(frames.episode == e) for e in range(len(frames.tasks))]


def seconds(frames: Frames) -> F64:
    """Return the time of each observation [N] since the first one of its episode."""
    found = np.zeros(len(frames))
    for rows in episodes_of(frames):
        if len(frames.stamp_ns) and len(rows):
            found[rows] = (frames.stamp_ns[rows] - frames.stamp_ns[rows[0]]) * 1e-9
        else:
            found[rows] = PERIOD_S * np.arange(len(rows))
    return found


def seconds_left(frames: Frames) -> F64:
    """Return the time from each observation [N] to the last one of its episode."""
    time_s, left = seconds(frames), np.zeros(len(frames))
    for rows in episodes_of(frames):
        if len(rows):
            left[rows] = time_s[rows[-1]] - time_s[rows]
    return left

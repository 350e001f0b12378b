"""What a page may send: small JSON objects of finite numbers, so many a second."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arfm_ros.core.errors import ArfmError

NS = 1_000_000_000
SIZE_MAX = 16_384  # bytes
TEXT_MAX = 2_000  # characters of an instruction, an answer, a word
RATE_HZ, BURST = 200.0, 100.0
STRIKES = 2_000  # messages beyond the rate, or 20 that are none, end a connection
NONSENSE_COST = 100


class PageError(ArfmError):
    """A page sent what cannot be used."""


def read_message(text: str | bytes) -> Mapping[str, Any]:
    """Read a message: an object with "do". Raises `PageError` saying what is wrong."""
    if not isinstance(text, str):
        raise PageError("a message is JSON text, this is binary")
    if len(text) > SIZE_MAX:
        raise PageError(f"a message has {len(text)} characters, takes {SIZE_MAX}")
    try:
        found = json.loads(text, parse_constant=_not_finite)
    except (ValueError, RecursionError) as error:
        raise PageError(f"a message is no JSON: {str(error)[:80]}") from error
    if not isinstance(found, dict) or not isinstance(found.get("do"), str):
        raise PageError('a message is an object with "do"')
    return found


def text_of(message: Mapping[str, Any], key: str) -> str:
    """Return a text, without what cannot be printed; raises `PageError` where it is none."""
    text = message.get(key)
    if not isinstance(text, str):
        raise PageError(f'"{key}" is a text')
    if len(text) > TEXT_MAX:
        raise PageError(f'"{key}" has {len(text)} characters, takes {TEXT_MAX}')
    plain = text.encode("utf-8", "replace").decode()  # lone surrogates are no text for ROS
    return "".join(c if c.isprintable() else " " for c in plain).strip()


def number_of(values: Mapping[str, Any], key: str, limit: float = math.inf) -> float:
    """Return a finite number, cut at ±limit; raises `PageError` where it is none."""
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PageError(f'"{key}" is a number')
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise PageError(f'"{key}" is not finite')
    return max(-limit, min(limit, number))


@dataclass(slots=True)
class Budget:
    """How much one connection may still send; what is beyond is dropped, and in the end it."""

    left: float = BURST
    at_ns: int = 0
    strikes: int = 0

    def take(self, now_ns: int) -> bool:
        """Return whether one more message counts."""
        self.left = min(BURST, self.left + (now_ns - self.at_ns) / NS * RATE_HZ)
        self.at_ns = now_ns
        if self.left < 1.0:
            self.strikes += 1
            return False
        self.left -= 1.0
        return True

    def nonsense(self) -> None:
        """Note a message that was none."""
        self.strikes += NONSENSE_COST

    @property
    def spent(self) -> bool:
        """Whether it is time to hang up."""
        return self.strikes >= STRIKES


def _not_finite(name: str) -> float:
    raise ValueError(f"{name} is not finite")

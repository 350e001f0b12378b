"""Read values that a stranger wrote: of the type that is needed and within bounds, or an error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

import numpy as np

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.data import F32

T = TypeVar("T")
Bounds = tuple[float, float]

ANY: Bounds = (-math.inf, math.inf)
TEXT_MAX = 4096  # characters
DEPTH_MAX = 32  # of lists and maps in each other
NUMBERS_MAX = 2**22  # in one array


def check_depth(raw: object) -> None:
    """Raise `SpecError` for lists and maps nested too deeply for what walks through them."""
    level: list[object] = [raw]
    for _ in range(DEPTH_MAX):
        level = [inner for one in level for inner in _parts(one)]
        if not level:
            return
    raise SpecError(f"lists and maps are nested more than {DEPTH_MAX} deep")


def integer(raw: object, where: str, bounds: Bounds) -> int:
    """Return a whole number within `bounds`, both included."""
    if isinstance(raw, bool) or not isinstance(raw, int) or not bounds[0] <= raw <= bounds[1]:
        raise _wrong(raw, where, f"a whole number{_within(bounds)}")
    return raw


def number(raw: object, where: str, bounds: Bounds = ANY) -> float:
    """Return a number within `bounds`; never NaN."""
    plain = isinstance(raw, (int, float)) and not isinstance(raw, bool)
    if not plain or not bounds[0] <= raw <= bounds[1]:  # type: ignore[operator]
        raise _wrong(raw, where, f"a number{_within(bounds)}")
    try:
        return float(raw)  # type: ignore[arg-type]
    except OverflowError as error:
        raise _wrong(raw, where, "a number that float64 holds") from error


def text(raw: object, where: str) -> str:
    """Return a text of at most `TEXT_MAX` characters."""
    if not isinstance(raw, str) or len(raw) > TEXT_MAX:
        raise _wrong(raw, where, f"a text of at most {TEXT_MAX} characters")
    return raw


def flag(raw: object, where: str) -> bool:
    """Return true or false."""
    if not isinstance(raw, bool):
        raise _wrong(raw, where, "true or false")
    return raw


def table(raw: object, where: str) -> dict[str, Any]:
    """Return a map."""
    if not isinstance(raw, dict):
        raise _wrong(raw, where, "a map")
    return raw


def rows(raw: object, where: str, most: int) -> Sequence[Any]:
    """Return a list of at most `most` entries."""
    if not isinstance(raw, list) or len(raw) > most:
        raise _wrong(raw, where, f"a list of at most {most} entries")
    return raw


def array(raw: object, where: str) -> F32:
    """Return a list of numbers, or of lists of them that are equally long, as float32."""
    rows(raw, where, NUMBERS_MAX)
    try:
        found = np.asarray(raw)
        if found.dtype.kind not in "fiu" and found.size:
            raise ValueError(f"of {found.dtype}")
        with np.errstate(over="ignore"):  # what float32 does not hold becomes infinite
            return found.astype(np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise SpecError(f"{where} is no array of numbers: {error}") from error


def record(cls: type[T], raw: object, where: str, bounds: Mapping[str, Bounds] = {}) -> T:
    """Make dataclass `cls`, whose fields are int, float, str or bool, of a map.

    `bounds` are those of its numbers by name; an int without any is 0 or more. Raises `SpecError`
    naming what is missing, unknown, of another type or out of bounds.
    """
    given = table(raw, where)
    known = {one.name: one for one in fields(cls)}  # type: ignore[arg-type]
    missing = [n for n, one in known.items() if one.default is MISSING and n not in given]
    unknown = [name for name in given if name not in known]
    if missing or unknown:
        wrong = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(unknown)[:80]}"
        raise SpecError(f"{where} {wrong}; it may have {', '.join(known)}")
    values = {
        name: _value(str(known[name].type), value, f"{where}.{name}", bounds.get(name))
        for name, value in given.items()
    }
    return cls(**values)


def _value(kind: str, raw: object, where: str, bounds: Bounds | None) -> object:
    if kind == "int":
        return integer(raw, where, bounds or (0, 2**63 - 1))
    if kind == "float":
        return number(raw, where, bounds or ANY)
    return {"str": text, "bool": flag}[kind](raw, where)


def _parts(raw: object) -> Sequence[object]:
    if isinstance(raw, dict):
        return list(raw.values())
    return raw if isinstance(raw, list) else ()


def _within(bounds: Bounds) -> str:
    return "" if bounds == ANY else f" from {bounds[0]:g} to {bounds[1]:g}"


def _wrong(raw: object, where: str, needed: str) -> SpecError:
    if isinstance(raw, (str, list, dict)) and len(raw) > 40:
        found = f"{type(raw).__name__} of {len(raw)}"
    else:
        found = repr(raw) if not isinstance(raw, int) or abs(raw) < 2**64 else "a huge number"
    return SpecError(f"{where} is {found[:80]}, needs {needed}")

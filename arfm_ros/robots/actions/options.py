"""Options of an action space: a dataclass of plain values, read from JSON and written to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arfm_ros.core.errors import ConfigError, SafetyError, SpecError
from arfm_ros.core.values import strict

F64 = NDArray[np.float64]
T = TypeVar("T")


def read_options(cls: type[T], raw: Mapping[str, Any], where: str) -> T:
    """Make options of a map; raises `ConfigError` for what is unknown, missing or wrong."""
    known = {one.name for one in fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(raw) - known)
    if unknown:
        listed = ", ".join(sorted(known)) or "none"
        raise ConfigError(f"{where} has no option '{unknown[0]}', it has: {listed}")
    try:
        return strict.record(cls, dict(raw), where)
    except SpecError as error:
        raise ConfigError(str(error)) from error


def write_options(options: Any) -> dict[str, Any]:
    """Return the options that differ from their defaults, or have none."""
    defaults = {one.name: one.default for one in fields(options)}
    return {
        name: value
        for name, value in asdict(options).items()
        if defaults[name] is MISSING or value != defaults[name]
    }


def need(value: str, known: tuple[str, ...], what: str) -> None:
    """Raise `ConfigError` for a word that is none of the known ones."""
    if value not in known:
        raise ConfigError(f"{what} is '{value}', needs one of {', '.join(known)}")


def rows(values: ArrayLike, width: int, what: str) -> F64:
    """Return values as float64 [H, width]; raises `SafetyError` for another shape or no number."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != width:
        raise SafetyError(f"{what} has shape {array.shape}, needs (steps, {width})")
    if not np.isfinite(array).all():
        raise SafetyError(
            f"{what} is not finite at step {int(np.argwhere(~np.isfinite(array))[0, 0])}"
        )
    return array

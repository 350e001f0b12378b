"""Numbers that a person wrote."""

from __future__ import annotations

import math


def finite(text: str) -> float:
    """Read a number. Raises `ValueError` for anything else, `nan` and `inf` among it."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"'{text}' is not a finite number")
    return value

"""Boxes of a robot's YAML: what its arm stays in, or out of."""

from __future__ import annotations

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.space import boxes


def read_boxes(raw: object, where: str) -> tuple[float, ...]:
    """Return the numbers of a list of boxes, six each; raises `ConfigError` for what is no box."""
    rows = raw if isinstance(raw, list) else [raw]
    for row in rows:
        numbers = isinstance(row, list) and len(row) == 6
        if not numbers or not all(type(x) in (int, float) for x in row):
            raise ConfigError(
                f"{where} has {row!r:.60}, needs boxes [low x, low y, low z, high x, high y, "
                "high z], m"
            )
    flat = tuple(float(number) for row in rows for number in row)
    boxes(where, flat)
    return flat

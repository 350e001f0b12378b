"""Whether an export fits into this machine's memory, asked before it begins."""

from __future__ import annotations

from pathlib import Path

from arfm_ros.core.errors import ConfigError
from arfm_ros.engines.memory import GIB, available, elements

# What was measured of an export, beside the file of weights that the machine maps and lets go
BASE = 3.0 * GIB  # torch, the exporter, a vocabulary in float32
SHARE = 0.6  # bytes a parameter


def require_memory(folder: Path) -> None:
    """Raise `ConfigError` with both figures where an export needs more memory than is free.

    The kernel ends a process that takes more, without a word.
    """
    need = needed(elements(folder.glob("*.safetensors")))
    free = available()
    if free is not None and need > free:
        raise ConfigError(
            f"the export of {folder} needs some {need / GIB:.1f} GiB of memory, "
            f"{free / GIB:.1f} GiB are free: end other programs, add swap or take a larger machine"
        )


def needed(count: int) -> float:
    """Return the bytes that an export of `count` parameters takes at most."""
    return BASE + SHARE * count

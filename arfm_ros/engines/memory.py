"""How much memory there is, and how many parameters a file holds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

GIB = 2**30
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")
HEADER_MAX = 2**27


def elements(files: Iterable[Path]) -> int:
    """Count the parameters in safetensors files by their headers; 0 for what has none."""
    total = 0
    for path in files:
        with suppress(OSError, ValueError, KeyError), path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > HEADER_MAX:
                continue
            header = json.loads(file.read(length))
            shapes = (one["shape"] for name, one in header.items() if name != "__metadata__")
            total += sum(math.prod(shape) for shape in shapes)
    return total


def available() -> float | None:
    """Return how many bytes are free: the machine's, or what the container may still take."""
    found = [_machine(), _container()]
    told = [value for value in found if value is not None]
    return min(told) if told else None


def resident() -> float:
    """Return how many bytes of this process are in memory, pages of files with them."""
    with suppress(OSError, ValueError, IndexError):
        return 4096.0 * int(Path("/proc/self/statm").read_text().split()[1])
    return 0.0


def _machine() -> float | None:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    return None


def _container() -> float | None:
    for limit, used in zip(LIMITS, USED):
        with suppress(OSError, ValueError):  # "max" is no number: no limit
            return float(int(Path(limit).read_text()) - int(Path(used).read_text()))
    return None

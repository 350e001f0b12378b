"""How much memory there is, and how many parameters a file holds."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

GIB = 2**30
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")
HEADER_MAX = 2**27
OFFSET = re.compile(rb"\x0a\x06offset\x12.(\d+)", re.DOTALL)  # of external data, as ONNX writes it


def elements(files: Iterable[Path]) -> int:
    """Count the parameters in safetensors files by their headers; 0 for what has none."""
    return sum(sum(_sizes(path).values()) for path in files)


def elements_of(graph: Path) -> int:
    """Count the parameters that an ONNX graph takes from the safetensors file beside it."""
    with suppress(OSError):
        offsets = {int(found) for found in OFFSET.findall(graph.read_bytes())}
        sizes = [_sizes(path) for path in graph.parent.glob("*.safetensors")]
        return sum(one.get(offset, 0) for one in sizes for offset in offsets)
    return 0


def _sizes(path: Path) -> dict[int, int]:
    """Map where each tensor of a safetensors file begins to its number of elements."""
    with suppress(OSError, ValueError, KeyError), path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > HEADER_MAX:
            return {}
        header = json.loads(file.read(length))
        return {
            8 + length + one["data_offsets"][0]: math.prod(one["shape"])
            for name, one in header.items()
            if name != "__metadata__" and math.prod(one["shape"])
        }
    return {}


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

"""MessagePack with numpy arrays, as openpi's policy server and its client speak it.

An array is a map of `__ndarray__`, `data` (bytes in C order), `dtype` and `shape`, a numpy number
one of `__npgeneric__`, `data` and `dtype`; all these keys are bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np

from arfm_ros.core.errors import EngineError

KINDS = "fiub"  # of number: float, integers, bool
ARRAY, NUMBER = b"__ndarray__", b"__npgeneric__"


Describe = Callable[[Any], dict[Any, Any]]  # an array -> the map that stands for it
Restore = Callable[[dict[Any, Any]], Any]  # any map -> what it stands for


def pack(value: Any, describe: Describe | None = None) -> bytes:
    """Write `value`, of maps, lists, texts, numbers and arrays; `describe`: of another library."""
    return bytes(msgpack.packb(value, default=describe or _describe))


def unpack(data: bytes, restore: Restore | None = None) -> Any:
    """Read what `pack` wrote. Raises `EngineError` for bytes that are something else."""
    try:
        return msgpack.unpackb(data, object_hook=restore or _restore, strict_map_key=False)
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise EngineError(f"{len(data)} bytes are no policy server's message: {error}") from error


def _describe(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind in KINDS:
        whole = {b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
        return {ARRAY: True, **whole}
    if isinstance(value, np.generic) and value.dtype.kind in KINDS:
        return {NUMBER: True, b"data": value.item(), b"dtype": value.dtype.str}
    raise TypeError(f"cannot send {type(value).__name__}")


def _restore(raw: dict[Any, Any]) -> Any:
    if ARRAY not in raw and NUMBER not in raw:
        return raw
    dtype = np.dtype(raw[b"dtype"])
    if dtype.kind not in KINDS:
        raise ValueError(f"an array of {dtype} is not taken")
    if NUMBER in raw:
        return dtype.type(raw[b"data"])
    shape, data = tuple(raw[b"shape"]), raw[b"data"]
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(data)} bytes are no array of {dtype} {shape}")
    return np.frombuffer(data, dtype).reshape(shape)

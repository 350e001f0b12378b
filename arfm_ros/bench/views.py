"""`arfm bench BUNDLE --reuse-views`: what the prefix takes while some pictures stay the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from arfm_ros.core.chunks.reuse import difference
from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import U8, Observation
from arfm_ros.engines import EnginePolicy
from arfm_ros.engines.gate.machine import machine


def compare_views(
    policy: EnginePolicy,
    seen: Observation,
    limit: float,
    seconds: float,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Time `encode` in turns while 0, 1, ... all of the pictures of `seen` are other ones.

    `limit` in grey levels is what they may differ by. Returns what `--json` writes, times in ms.
    Raises `ConfigError` where no picture is encoded by itself, or none of these differs so much.
    """
    views = policy.views
    if views is None:
        raise ConfigError(f"'{policy.spec.name}' encodes its pictures together: export --views")
    other = {name: 255 - image for name, image in seen.images.items()}
    _check(seen.images, other, limit)
    views.limit = limit
    cameras = list(seen.images)
    taken: dict[int, list[float]] = {count: [] for count in range(len(cameras) + 1)}
    encoded = dict.fromkeys(taken, 0)
    now = dict(seen.images)
    policy.encode(replace(seen, images=now))
    finish = time.monotonic() + seconds
    while not taken[0] or time.monotonic() < finish:
        for count in taken:
            for name in cameras[:count]:
                now[name] = other[name] if now[name] is seen.images[name] else seen.images[name]
            before, begin = views.encoded, time.perf_counter()
            policy.encode(replace(seen, images=now))
            taken[count].append(1e3 * (time.perf_counter() - begin))
            encoded[count] += views.encoded - before
    rows = [_row(count, taken[count], encoded[count], say) for count in taken]
    return {"bundle": policy.spec.name, "limit": limit, "machine": machine(), "rows": rows}


def _check(images: Mapping[str, U8], other: Mapping[str, U8], limit: float) -> None:
    apart = min(difference({name: other[name]}, {name: image}) for name, image in images.items())
    if limit >= apart:
        raise ConfigError(
            f"--reuse-views {limit:g}: the pictures that are used differ by {apart:.0f} grey "
            "levels: give less"
        )


def _row(
    changed: int, taken: list[float], encoded: int, say: Callable[[str], None]
) -> dict[str, Any]:
    p50, p99 = (float(p) for p in np.percentile(taken, (50, 99)))
    count = len(taken)
    say(
        f"{changed} pictures changed, {encoded} encoded in {count} runs: prefix "
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, least {min(taken):.1f} ms"
    )
    return {
        "changed": changed,
        "encoded": encoded,
        "count": count,
        "p50_ms": p50,
        "p99_ms": p99,
        "min_ms": min(taken),
    }

"""`arfm bench BUNDLE --fast-slow`: contexts and chunks one after the other, and side by side.

The loops are those of the policy node, without its topics: pictures and states are those of the
moment at which they are taken, so that what is measured is the network alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from arfm_ros.core.values.data import Context, Observation, Policy
from arfm_ros.core.values.fresh import with_state
from arfm_ros.core.values.spec import PolicySpec

NS = 1_000_000_000


@dataclass(slots=True)
class _Seen:
    """What one run saw, in seconds."""

    ends: list[float] = field(default_factory=list)  # of chunks
    states: list[float] = field(default_factory=list)  # age of the state at the chunk's end
    pictures: list[float] = field(default_factory=list)
    encodes: list[float] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rates:
    """One way to run a policy: p50 and p99 in ms."""

    fast_slow: bool
    seconds: float
    chunks: int
    chunks_per_s: float
    contexts: int
    state_age_ms: tuple[float, float]  # when the chunk is there
    picture_age_ms: tuple[float, float]
    encode_ms: tuple[float, float]
    sample_ms: tuple[float, float]

    def __str__(self) -> str:
        how = "two threads" if self.fast_slow else "one thread"
        (state, state_most), (picture, picture_most) = self.state_age_ms, self.picture_age_ms
        return (
            f"{how}: {self.chunks} chunks in {self.seconds:.1f} s ({self.chunks_per_s:.2f} /s) of "
            f"{self.contexts} contexts; p50 / p99 in ms: state {state:.1f} / {state_most:.1f} old "
            f"at the chunk, pictures {picture:.1f} / {picture_most:.1f}, encode "
            f"{self.encode_ms[0]:.1f} / {self.encode_ms[1]:.1f}, sample "
            f"{self.sample_ms[0]:.1f} / {self.sample_ms[1]:.1f}"
        )


def compare_rates(
    policy: Policy, spec: PolicySpec, period_s: float, seconds: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run both ways for `seconds` each, a chunk at most every `period_s`; warm, one example."""
    policy.sample(policy.encode(spec.example(0)), _noise(spec, 0), steps=1)
    found = []
    for run, both in ((_in_turn, False), (_side_by_side, True)):
        rates = _rates(run(policy, spec, period_s, seconds), both)
        say(str(rates))
        found.append(asdict(rates))
    return {"period_s": period_s, "state_in_step": bool(spec.state_in_step), "runs": found}


def _noise(spec: PolicySpec, seed: int) -> Any:
    return np.random.default_rng(seed).standard_normal(spec.flow_shape, dtype=np.float32)


def _look(policy: Policy, spec: PolicySpec, seen: _Seen) -> Context:
    begin_ns = time.monotonic_ns()
    observation: Observation = replace(spec.example(0), stamp_ns=begin_ns)
    context = policy.encode(observation)
    seen.encodes.append((time.monotonic_ns() - begin_ns) / NS)
    return context


def _act(policy: Policy, spec: PolicySpec, context: Context, taken_ns: int, seen: _Seen) -> None:
    begin_ns = time.monotonic_ns()
    policy.sample(context, _noise(spec, len(seen.ends)))
    end_ns = time.monotonic_ns()
    seen.samples.append((end_ns - begin_ns) / NS)
    seen.ends.append(end_ns / NS)
    seen.states.append((end_ns - context.stamp_ns) / NS)
    seen.pictures.append((end_ns - taken_ns) / NS)


def _in_turn(policy: Policy, spec: PolicySpec, period_s: float, seconds: float) -> _Seen:
    seen, due_s = _Seen(), time.monotonic()
    until_s = due_s + seconds
    while time.monotonic() < until_s:
        context = _look(policy, spec, seen)
        _act(policy, spec, context, context.stamp_ns, seen)
        due_s = _pause(due_s, period_s)
    return seen


def _side_by_side(policy: Policy, spec: PolicySpec, period_s: float, seconds: float) -> _Seen:
    """Make chunks here, and contexts in another thread."""
    seen, stop, newest = _Seen(), threading.Event(), list[Context]()

    def look() -> None:
        due_s = time.monotonic()
        while not stop.is_set():
            newest[:] = [_look(policy, spec, seen)]
            if not spec.state_in_step:  # one chunk each: more are of no use
                due_s = _pause(due_s, period_s)

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(look)
        try:
            _chunks(policy, spec, (newest, slow, seen), period_s, seconds)
        finally:
            stop.set()
        slow.result()
    return seen


def _chunks(
    policy: Policy,
    spec: PolicySpec,
    shared: tuple[list[Context], Future[None], _Seen],
    period_s: float,
    seconds: float,
) -> None:
    newest, slow, seen = shared
    used_ns, due_s = 0, time.monotonic()
    until_s = due_s + seconds
    while time.monotonic() < until_s and not slow.done():
        context = newest[0] if newest else None
        if context is None or (not spec.state_in_step and context.stamp_ns == used_ns):
            time.sleep(0.001)
            continue
        used_ns = taken_ns = context.stamp_ns
        if spec.state_in_step:
            context = with_state(context, spec, context.state, time.monotonic_ns())
        _act(policy, spec, context, taken_ns, seen)
        due_s = _pause(due_s, period_s if spec.state_in_step else 0.0)


def _pause(due_s: float, period_s: float) -> float:
    """Wait until the next beginning is due and return when that was; what is late is skipped."""
    due_s = max(due_s + period_s, time.monotonic())
    time.sleep(max(due_s - time.monotonic(), 0.0))
    return due_s


def _rates(seen: _Seen, fast_slow: bool) -> Rates:
    """Count from the first chunk on, which is there when the first context is."""
    lasted_s = seen.ends[-1] - seen.ends[0] if len(seen.ends) > 1 else 0.0
    ages = (seen.states, seen.pictures, seen.encodes, seen.samples)
    state, picture, encode, sample = (_percentiles_ms(one) for one in ages)
    count = len(seen.ends)
    per_s = (count - 1) / lasted_s if lasted_s else 0.0
    return Rates(
        fast_slow, lasted_s, count, per_s, len(seen.encodes), state, picture, encode, sample
    )


def _percentiles_ms(values_s: list[float]) -> tuple[float, float]:
    if not values_s:
        return (float("nan"), float("nan"))
    low, high = np.percentile(np.array(values_s) * 1e3, (50, 99))
    return float(low), float(high)

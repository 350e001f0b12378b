"""What every policy of another library has to keep to as a bundle."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from arfm_ros.core.chunks.rtc import left_over
from arfm_ros.core.values.data import Observation
from arfm_ros.engines.policy import EnginePolicy


def assert_guidance_acts(policy: EnginePolicy) -> None:
    """From other noise the frozen actions come out nearer to those of the chunk in force."""
    seen, noise = policy.spec.example(0), some_noise(policy)
    first = policy.sample(policy.encode(seen), noise)
    guided = policy.sample(policy.encode(seen), -noise, left_over(first, first.stamp_ns, 3))
    free = policy.sample(policy.encode(seen), -noise)
    gaps = [np.abs(c.actions - first.actions)[:3].max() for c in (guided, free)]
    assert gaps[0] < 0.5 * gaps[1]


def assert_each_counts(policy: EnginePolicy, others: Iterable[Observation]) -> None:
    """What differs in each of `others` from the first example changes the velocity."""
    noise = some_noise(policy)
    before = policy.velocity(policy.encode(policy.spec.example(0)))(noise, 0.3)
    for other in others:
        after = policy.velocity(policy.encode(other))(noise, 0.3)
        assert np.abs(after - before).max() > 1e-5


def some_noise(policy: EnginePolicy) -> np.ndarray:
    """Draw the noise of a chunk."""
    rng = np.random.default_rng(0)
    return rng.standard_normal(policy.spec.flow_shape).astype(np.float32)

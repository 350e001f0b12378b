"""Environments: the same start from the same seed, limited actions, a policy acts in them."""

from __future__ import annotations

import numpy as np
import pytest

from arfm_ros.bringup import find_bundle
from arfm_ros.core.errors import ConfigError
from arfm_ros.engines import load_bundle
from arfm_ros.evaluate.envs.catalogue import Venue, episodes, find_venue, open_environment
from arfm_ros.robots.fr3.limits import fr3_limits

BUNDLE = find_bundle("")
SPEC = load_bundle(BUNDLE).spec


def test_the_shipped_policy_reaches_and_lifts_without_the_stack() -> None:
    venue = find_venue("tabletop:reach", ("lift",))
    assert venue == Venue("tabletop", ("reach", "lift"))
    results = list(episodes(BUNDLE, venue, range(3), 100_000_000))
    assert [one.task for one in results] == ["reach"] * 3 + ["lift"] * 3
    assert sum(one.success for one in results) >= 5
    assert all(0 < one.steps < 400 and one.progress > 0.5 for one in results)


def test_a_start_depends_on_the_seed_only_and_actions_are_limited() -> None:
    environment = open_environment("tabletop", SPEC)
    first, other, again = (environment.reset("lift", seed) for seed in (1, 2, 1))
    assert np.array_equal(first.state, again.state)
    assert all(np.array_equal(first.images[c], again.images[c]) for c in first.images)
    assert not np.array_equal(first.state, other.state)
    start = again.state[:8].astype(float)
    far = start + np.append(np.full(7, 9.0), 0.0)
    step = environment.step(far)
    assert not step.over and step.observation.stamp_ns > again.stamp_ns
    fastest = fr3_limits().velocity[:7] * SPEC.dt_ns / 1e9
    assert (np.abs(step.observation.state[:7] - start[:7]) < 1.5 * fastest).all()
    environment.close()


def test_what_is_unknown_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match="'moon' is unknown, needs one of tabletop"):
        open_environment("moon", SPEC)
    environment = open_environment("tabletop", SPEC)
    with pytest.raises(ConfigError, match="task 'juggle' is unknown"):
        environment.reset("juggle", 0)
    environment.close()

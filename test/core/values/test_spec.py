"""Laws of the policy's specification."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from learn_rig import spec

from arfm_ros.core.errors import SpecError
from arfm_ros.core.solvers.sampler import Sampler
from arfm_ros.core.values.spec import PolicySpec, Rtc


def test_json_reads_back_equal() -> None:
    again = PolicySpec.from_json(spec().to_json())
    assert again == spec()
    np.testing.assert_array_equal(again.action_norm.scale, spec().action_norm.scale)


def test_unnormalised_actions_are_the_actions() -> None:
    policy, rng = spec(), np.random.default_rng(0)
    state = rng.normal(size=8).astype(np.float32)
    actions = rng.normal(size=policy.action_shape).astype(np.float32)
    back = policy.unnormalise_actions(policy.normalise_actions(actions, state), state)
    np.testing.assert_allclose(back, actions, atol=1e-5)


def test_relative_actions_move_with_the_state_and_absolute_ones_do_not() -> None:
    policy, x = spec(), np.zeros(spec().action_shape, np.float32)
    moved = np.full(8, 0.5, np.float32)
    difference = policy.unnormalise_actions(x, moved) - policy.unnormalise_actions(x, 0 * moved)
    np.testing.assert_allclose(difference[:, :7], 0.5, atol=1e-6)
    np.testing.assert_allclose(difference[:, 7], 0.0)


def test_spare_rows_are_no_actions_and_a_clip_bounds_them() -> None:
    policy = replace(spec(), spare=3, past=2, rtc=Rtc("none"), sampler=Sampler(clip=1.0))
    assert PolicySpec.from_json(policy.to_json()) == policy
    assert "spare" not in json.loads(spec().to_json())  # which a version before this one reads
    state, (horizon, width) = np.zeros(8, np.float32), policy.action_shape
    x = np.full(policy.flow_shape, 0.5, np.float32)
    assert x.shape[0] == 2 + horizon + 3
    x[[0, 1, -3, -2, -1]] = 9.0  # before and after the actions
    inside = policy.unnormalise_actions(x, state)
    assert inside.shape == (horizon, width)
    np.testing.assert_allclose(policy.normalise_actions(inside, state)[2:-3], 0.5, atol=1e-5)
    x[2] = 4.0
    first = policy.normalise_actions(policy.unnormalise_actions(x, state), state)[2]
    np.testing.assert_allclose(first, 1.0, atol=1e-5)
    with pytest.raises(SpecError, match="needs a flow of the actions' rows alone"):
        replace(policy, rtc=Rtc("guided"))


def test_an_example_passes_the_check() -> None:
    spec().check(spec().example(seed=3))


def test_check_names_what_does_not_fit() -> None:
    policy, good = spec(), spec().example(0)
    images = dict(good.images)
    images.pop("wrist")
    broken = good.state.copy()
    broken[2] = np.nan
    floats = {name: image.astype(np.float32) for name, image in good.images.items()}
    for bad, says in [
        (replace(good, images=images), "camera 'wrist' is missing, observation has: scene"),
        (replace(good, images=floats), "needs uint8"),
        (replace(good, state=good.state[:6]), "state has 6 values, policy 'rig' needs 8"),
        (replace(good, state=broken), "not finite: fr3_joint3"),
    ]:
        with pytest.raises(SpecError, match=says):
            policy.check(bad)


def test_a_specification_that_contradicts_itself_is_refused() -> None:
    for change, says in [
        ({"relative": (True,)}, "1 flags, needs 8"),
        ({"state": spec().state[1:], "state_norm": spec().state_norm}, "no such axis"),
        ({"horizon": 4}, "action statistics"),
        ({"sampler": Sampler("masked"), "rtc": Rtc()}, "a value and a flag .* 8 actions: 16"),
    ]:
        with pytest.raises(SpecError, match=says):
            replace(spec(), **change)


def test_malformed_json_is_named() -> None:
    raw = json.loads(spec().to_json())
    without = {name: value for name, value in raw.items() if name != "horizon"}
    for text, says in [
        ("{", "not JSON"),
        (json.dumps({**raw, "format": 99}), "format 99, this version reads 1"),
        (json.dumps(without), "horizon"),
        (json.dumps({**raw, "rtc": {"mode": "magic"}}), "rtc mode 'magic'"),
    ]:
        with pytest.raises(SpecError, match=says):
            PolicySpec.from_json(text)

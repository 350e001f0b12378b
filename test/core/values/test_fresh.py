"""A newer state in an older context, and when there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.data import Context
from arfm_ros.core.values.fresh import with_state
from arfm_ros.core.values.history import History
from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.spec import Axis, Language, PolicySpec

AXES = (Axis("a"), Axis("b"))


def spec(**changes: object) -> PolicySpec:
    given = PolicySpec(
        name="test",
        cameras=(),
        state=AXES,
        action=AXES,
        horizon=3,
        dt_ns=50_000_000,
        state_norm=Affine(np.array([1.0, -1.0], np.float32), np.array([2.0, 0.5], np.float32)),
        action_norm=Affine(np.zeros((3, 2), np.float32), np.ones((3, 2), np.float32)),
        relative=(True, False),
        state_in_step="position",
    )
    return replace(given, **changes)  # type: ignore[arg-type]


def context(**tensors: np.ndarray) -> Context:
    return Context(tensors, np.zeros(2, np.float32), stamp_ns=5, encode_ns=3)


def test_the_state_is_normalised_and_padded_and_everything_else_stays() -> None:
    keys, state = np.ones((2, 1, 3), np.float32), np.array([3.0, 0.0], np.float32)
    before = context(keys=keys, position=np.full((1, 4), 9.0, np.float32))
    after = with_state(before, spec(), state, stamp_ns=11)
    wanted = spec().state_norm.normalise(state)
    assert after.tensors["position"].dtype == np.float32
    assert np.array_equal(after.tensors["position"], [[*wanted, 0.0, 0.0]])
    assert after.tensors["keys"] is keys and np.all(before.tensors["position"] == 9.0)
    assert (after.stamp_ns, after.encode_ns) == (11, 3) and np.array_equal(after.state, state)


@pytest.mark.parametrize("shape", [(1, 1), (2,), (2, 2)])
def test_a_tensor_that_cannot_be_the_state_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match=r"needs a tensor \[1, 2 or more\] of that name"):
        with_state(context(position=np.zeros(shape, np.float32)), spec(), np.zeros(2), 0)


def test_a_context_without_it_is_refused() -> None:
    with pytest.raises(SpecError, match="state_in_step is 'position'.*which has keys"):
        with_state(context(keys=np.zeros((1, 2), np.float32)), spec(), np.zeros(2), 0)


@pytest.mark.parametrize(
    "change", [{"history": History(2, 50_000_000)}, {"language": Language(state_bins=256)}]
)
def test_a_state_that_is_elsewhere_too_is_not_in_the_step_alone(change: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="state_in_step"):
        spec(**change)

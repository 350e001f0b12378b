"""Ways to guide a chunk, as words of `arfm eval --rtc`, and what they change."""

from __future__ import annotations

import numpy as np
import pytest

from arfm_ros.core.chunks.rtc import exact_steps, mask, soft_mask
from arfm_ros.core.errors import ConfigError, SpecError
from arfm_ros.core.values.joining import GUIDANCES, SCHEDULES, Rtc
from arfm_ros.evaluate.sweep import read_mode


def test_modes_are_read() -> None:
    assert read_mode("prefix") == ("prefix", "", "")
    assert read_mode("guided:identity") == ("guided", "identity", "")
    assert read_mode("guided:exact:linear") == ("guided", "exact", "linear")
    assert read_mode("guided::ones") == ("guided", "", "ones")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("guide", "no mode 'guide', give one of bundle, none, guided, prefix"),
        ("guided:autograd", "no guidance 'autograd', give one of identity, mixed, exact"),
        ("guided:exact:cosine", "no schedule 'cosine', give one of exp, linear, ones, zeros"),
        ("prefix:exact", "give guided:GUIDANCE:SCHEDULE, or a mode alone"),
        ("guided:exact:exp:5", "give guided:GUIDANCE:SCHEDULE, or a mode alone"),
    ],
)
def test_others_are_refused_with_what_there_is(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_mode(text)
    with pytest.raises(SpecError, match="needs one of identity, mixed, exact"):
        Rtc("guided", guidance="autograd")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_binds_what_is_frozen_and_frees_what_nobody_knew(schedule: str) -> None:
    weights = mask(schedule, 16, 4, 12)
    assert (weights[:4] == 1).all() and (weights[12:] == 0).all()
    assert (np.diff(weights) <= 0).all() and weights.dtype == np.float32


def test_schedules_are_those_of_their_names() -> None:
    """LINEAR of LeRobot: 1 - (k - delay + 1) / (overlap - delay + 1); EXP bends it down."""
    linear, k = mask("linear", 16, 4, 12), np.arange(4, 12)
    np.testing.assert_allclose(linear[4:12], 1 - (k - 4 + 1) / (12 - 4 + 1), rtol=1e-6)
    bent = linear * np.expm1(linear) / np.expm1(1)
    np.testing.assert_allclose(mask("exp", 16, 4, 12)[4:], bent[4:], rtol=1e-6)
    assert np.array_equal(mask("exp", 16, 4, 12), soft_mask(16, 4, 12))
    assert mask("ones", 16, 4, 12)[4:12].all() and not mask("zeros", 16, 4, 12)[4:].any()


def test_how_many_steps_pay_for_the_derivative() -> None:
    assert [exact_steps(10, guidance) for guidance in GUIDANCES] == [0, 3, 10]
    assert exact_steps(2, "mixed") == 1

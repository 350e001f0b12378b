"""Laws of real-time chunking: mask, left-over, gain, schedule, delays."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from learn_rig import DT_NS, spec

from arfm_ros.core.chunks.chunking import Chunking
from arfm_ros.core.chunks.rtc import (
    Guidance,
    GuidedField,
    exact_steps,
    guidance,
    left_over,
    pad,
    soft_mask,
    without_derivative,
)
from arfm_ros.core.errors import SpecError
from arfm_ros.core.solvers.flow import integrate
from arfm_ros.core.values.data import F32, ActionChunk, ChunkInfo
from arfm_ros.core.values.spec import Rtc

H = 16
SPEC = spec("guided")


def chunk(stamp_ns: int = 0, seed: int = 0) -> ActionChunk:
    actions = np.random.default_rng(seed).normal(size=(H, 8)).astype(np.float32)
    return ActionChunk(actions, stamp_ns, DT_NS, SPEC.action_names)


def test_the_mask_is_one_while_frozen_falls_and_ends_at_zero() -> None:
    for delay, overlap in itertools.product(range(H + 1), repeat=2):
        mask = soft_mask(H, delay, overlap)
        assert (mask[:delay] == 1).all() and (mask[max(delay, overlap) :] == 0).all()
        assert (np.diff(mask) <= 0).all() and (mask >= 0).all()
        assert (mask[delay:] < 1).all()


def test_the_mask_is_the_paper_s_and_impossible_ones_are_refused() -> None:
    c = (12 - 7) / (12 - 4 + 1)
    assert soft_mask(H, 4, 12)[7] == pytest.approx(c * (np.e**c - 1) / (np.e - 1))
    for delay, overlap in ((-1, 4), (H + 1, 4), (0, H + 1)):
        with pytest.raises(SpecError, match="must lie in 0..16"):
            soft_mask(H, delay, overlap)


def test_every_action_of_a_left_over_is_due_when_it_was_due_before() -> None:
    previous = chunk(stamp_ns=1000)
    for shift in (0, 3, H - 1):
        rest = left_over(previous, 1000 + shift * DT_NS, delay=2)
        np.testing.assert_array_equal(rest.actions, previous.actions[shift:])
        assert rest.due_ns(0) == previous.due_ns(shift) and rest.end_ns == previous.end_ns
        assert rest.info.prefix_length == 2


def test_between_two_actions_the_left_over_is_interpolated() -> None:
    previous = chunk()
    rest = left_over(previous, 5 * DT_NS // 2, delay=1)
    wanted = (previous.actions[2:-1] + previous.actions[3:]) / 2
    np.testing.assert_allclose(rest.actions, wanted, atol=1e-6)


def test_a_left_over_of_nothing_is_refused() -> None:
    for stamp_ns in (-DT_NS - 1, H * DT_NS):
        with pytest.raises(SpecError, match="ticks after the previous chunk's"):
            left_over(chunk(), stamp_ns, delay=0)


def test_padding_repeats_the_last_action_and_never_adds_zeros() -> None:
    for length in range(1, H + 1):
        actions = chunk().actions[:length]
        padded = pad(actions, H)
        np.testing.assert_array_equal(padded[:length], actions)
        assert padded.shape == (H, 8) and (padded[length:] == actions[-1]).all()
    with pytest.raises(SpecError, match="needs 1..16"):
        pad(chunk().actions[:0], H)


def test_the_previous_chunk_stays_where_it_was_whatever_the_new_state() -> None:
    prefix = left_over(chunk(), 3 * DT_NS, delay=2)
    for seed in range(3):
        state = np.random.default_rng(seed).normal(size=8).astype(np.float32)
        given = guidance(prefix, SPEC, state)
        back = SPEC.unnormalise_actions(given.previous, state)
        np.testing.assert_allclose(back, pad(prefix.actions, H), atol=1e-5)
        np.testing.assert_array_equal(given.weights, soft_mask(H, 2, H - 3))
    with pytest.raises(SpecError, match="previous chunk has 8 actions every 100 ms"):
        guidance(replace(prefix, dt_ns=2 * DT_NS), SPEC, state)


def test_the_gain_is_the_paper_s_up_to_the_clip() -> None:
    given = Guidance(chunk().actions, soft_mask(H, 4, H), clip=5.0)
    assert given.gain(0.5) == pytest.approx(2.0)
    assert given.gain(0.25) == pytest.approx((0.25**2 + 0.75**2) / (0.25 * 0.75))
    assert given.gain(0.0) == given.gain(1.0) == 5.0


class Linear:
    """v = goal - x, whose exact derivative is known, and a count of who was asked."""

    def __init__(self, given: Guidance, goal: F32) -> None:
        self.given, self.goal, self.plain, self.exact = given, goal, 0, 0

    def field(self, steps: int) -> GuidedField:
        return GuidedField((self._plain, self._exact), self.given, steps, "mixed")

    def _plain(self, x: F32, t: float) -> F32:
        self.plain += 1
        return self.goal - x

    def _exact(self, given: Guidance):  # noqa: ANN202
        def evaluate(x: F32, t: float) -> F32:
            self.exact += 1
            v = self.goal - x
            miss = given.previous - x - (1 - t) * v
            return v + given.gain(t) * miss * given.weights[:, None] * np.float32(t)

        return evaluate


def linear() -> Linear:
    given = Guidance(chunk(seed=1).actions, soft_mask(H, 4, 12))
    return Linear(given, chunk(seed=2).actions)


@pytest.mark.parametrize("steps", [1, 4, 10, 16])
def test_the_exact_derivative_is_asked_for_in_the_first_steps_only(steps: int) -> None:
    model = linear()
    integrate(model.field(steps), chunk(seed=3).actions, steps)
    assert model.exact == exact_steps(steps, "mixed") and model.plain == steps - model.exact
    assert steps < 4 or model.exact <= 0.3 * steps


def test_a_guided_chunk_begins_as_the_previous_one_and_ends_as_the_policy_wants() -> None:
    model = linear()
    noise = chunk(seed=3).actions
    x = integrate(model.field(10), noise, 10).sample
    free = integrate(lambda x, t: model.goal - x, noise, 10).sample
    # the last step of ten takes away 0.91 (gain 9.1 x 0.1) of what the others left
    missed, unguided = (np.abs(y - model.given.previous)[:4].max() for y in (x, free))
    assert missed < 0.09 * unguided
    np.testing.assert_array_equal(x[12:], free[12:])


@pytest.mark.parametrize("cut", range(1, 10))
def test_a_step_made_long_by_a_deadline_does_not_go_beyond_the_previous_chunk(cut: int) -> None:
    model = linear()
    field = model.field(10)
    asked = field.watch(lambda left: left <= 10 - cut)
    result = integrate(field, chunk(seed=3).actions, 10, out_of_time=asked)
    assert result.steps == cut + 1 or cut == 9
    assert np.abs(result.sample[:4] - model.given.previous[:4]).max() < 3.0
    assert field.watch(None) is None


def test_without_weight_nothing_is_guided() -> None:
    model = linear()
    given = replace(model.given, weights=np.zeros(H, np.float32))
    x = chunk(seed=3).actions
    v = without_derivative(lambda x, t: model.goal - x, given)(x, 0.3)
    np.testing.assert_array_equal(v, model.goal - x)


def chunking(delay_max: int = 6) -> Chunking:
    return Chunking(Rtc("guided", 0, delay_max))


def take(rtc: Chunking, tick: int, late_ns: int, text: str = "lift") -> None:
    stamp_ns = tick * DT_NS
    rtc.took_over(chunk(stamp_ns), text, stamp_ns + late_ns)


def test_the_delay_is_the_ticks_really_taken_without_the_cold_first_chunk() -> None:
    rtc = chunking()
    take(rtc, 0, late_ns=10**10)
    assert rtc.delay == 1
    for tick, late_ns, delay in ((2, 2 * DT_NS, 2), (4, 2 * DT_NS + 1, 3), (6, 0, 3)):
        take(rtc, tick, late_ns)
        assert rtc.delay == delay
    for tick in range(8, 18, 2):
        take(rtc, tick, late_ns=1)
    assert rtc.delay == 1


def test_what_is_sent_behind_its_path_makes_the_delay_longer() -> None:
    rtc = chunking()
    rtc.ahead_ns = DT_NS // 2
    take(rtc, 0, 0)
    take(rtc, 2, 2 * DT_NS)  # its path takes over in the middle of the third tick
    assert rtc.delay == 3


def test_a_chunk_that_begins_from_rest_later_binds_with_its_first_actions() -> None:
    rtc = chunking()
    take(rtc, 0, 0)
    rtc.accept(0, begin_ns=5 * DT_NS)
    prefix = rtc.prefix(2 * DT_NS, "lift")
    assert prefix is not None and prefix.stamp_ns == 2 * DT_NS
    np.testing.assert_array_equal(prefix.actions, chunk().actions)


def test_the_next_chunk_is_bound_by_what_is_left_of_the_one_in_force() -> None:
    rtc = chunking()
    assert rtc.prefix(0, "lift") is None
    take(rtc, 0, 0)
    take(rtc, 2, 3 * DT_NS)
    prefix = rtc.prefix(6 * DT_NS, "lift")
    assert prefix is not None and prefix.info.prefix_length == 3
    np.testing.assert_array_equal(prefix.actions, chunk().actions[4:])


def test_a_new_instruction_keeps_only_what_will_have_been_executed() -> None:
    rtc = chunking()
    take(rtc, 0, 0)
    take(rtc, 2, 3 * DT_NS)
    prefix = rtc.prefix(6 * DT_NS, "push")
    assert prefix is not None and prefix.horizon == 3
    np.testing.assert_array_equal(prefix.actions, chunk().actions[4:7])


def test_nothing_binds_after_the_end_before_the_stamp_or_while_a_human_drives() -> None:
    rtc = chunking()
    take(rtc, 4, 0)
    assert rtc.prefix((4 + H) * DT_NS, "lift") is None
    assert rtc.prefix(3 * DT_NS - 1, "lift") is None
    rtc.in_force = False
    assert rtc.prefix(6 * DT_NS, "lift") is None
    rtc.in_force = True
    assert rtc.prefix(6 * DT_NS, "lift") is not None
    off = Chunking(Rtc())
    take(off, 0, 0)
    assert off.prefix(DT_NS, "lift") is None and off.ready(DT_NS) and not off.trouble


def test_beyond_the_allowed_delay_it_waits_for_the_chunk_s_end_and_says_so() -> None:
    rtc = chunking(delay_max=6)
    take(rtc, 0, 0)
    take(rtc, 2, 7 * DT_NS)
    assert "7 ticks late, the policy takes 6" in rtc.trouble
    assert rtc.prefix(6 * DT_NS, "lift") is None and not rtc.ready(6 * DT_NS)
    assert rtc.ready((2 + H) * DT_NS)
    for n in range(5):
        take(rtc, 20 + 2 * n, late_ns=DT_NS)
    assert not rtc.trouble and rtc.ready(31 * DT_NS) and rtc.prefix(31 * DT_NS, "lift")


def test_a_left_over_keeps_its_origin() -> None:
    previous = replace(chunk(), info=ChunkInfo(chunk_id=7))
    assert left_over(previous, DT_NS, delay=1).info.chunk_id == 7

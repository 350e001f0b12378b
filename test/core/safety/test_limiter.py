"""Laws of the limiter: whatever it is told, what it sends stays inside its limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arfm_ros.core.errors import SafetyError
from arfm_ros.core.safety.limiter import Limiter, Steps
from arfm_ros.core.safety.limits import Target
from arfm_ros.robots.fr3.gains import TUNED
from arfm_ros.robots.fr3.limits import fr3_limits

LIMITS = fr3_limits()
MIDDLE = 0.5 * (LIMITS.low + LIMITS.high)
DT_S = 0.01
SMOOTH_S = Steps().smooth
number = st.floats(-20.0, 20.0) | st.sampled_from([np.nan, np.inf, -np.inf, 1e300, 0.0])
vector = st.lists(number, min_size=8, max_size=8).map(np.asarray)
dt = st.sampled_from([0.0, -0.01, 0.0005, 0.002, DT_S, DT_S, 0.013, 0.02, 0.05, 0.3, 3.0])
inputs = st.tuples(vector, vector, dt, st.booleans())


def step(limiter, position, velocity, dt_s, brake):
    """Take one step; what is not finite moves nothing."""
    try:
        return limiter.brake(dt_s) if brake else limiter.step(Target(position, velocity), dt_s)
    except SafetyError:
        return ()


def check_laws(limits, sent, before, dt_s):
    """Hold what was sent at two ticks against every limit."""
    (q1, v1), (q0, v0) = sent, before
    assert np.isfinite(q1).all() and np.isfinite(v1).all()
    assert (q1 >= limits.low - 1e-9).all() and (q1 <= limits.high + 1e-9).all()
    assert (np.abs(q1 - q0) <= limits.velocity * max(dt_s, 0.0) + 1e-9).all()
    assert (np.abs(v1 - v0) <= limits.acceleration * max(dt_s, 0.0) + 1e-9).all()
    low, high = limits.slowdown.speeds(q1)
    assert (v1 >= low - 1e-6).all() and (v1 <= high + 1e-6).all()


@settings(max_examples=80, deadline=None)
@given(st.lists(inputs, min_size=1, max_size=60), st.integers(0, 2**31))
def test_no_input_and_no_dt_sends_anything_beyond_a_limit(sequence, seed):
    start = np.random.default_rng(seed).uniform(LIMITS.low, LIMITS.high)
    limiter = Limiter(LIMITS, start)
    for position, velocity, dt_s, brake in sequence:
        before = limiter.sent
        step(limiter, position, velocity, dt_s, brake)
        check_laws(LIMITS, limiter.sent, before, dt_s)


def test_the_jerk_is_bounded_by_the_window_on_short_ticks_too():
    rng = np.random.default_rng(0)
    for dt_s in (0.001, 0.002, 0.004, 0.01):
        limiter, accelerations = Limiter(LIMITS, MIDDLE), [np.zeros(8)]
        for k in range(400):
            if k % 7 == 0:
                target = Target(rng.uniform(LIMITS.low, LIMITS.high), np.zeros(8))
            before = limiter.sent[1]
            limiter.step(target, dt_s)
            accelerations.append((limiter.sent[1] - before) / dt_s)
        jerk = np.abs(np.diff(accelerations, axis=0)).max(axis=0) / dt_s
        assert (jerk <= 2 * LIMITS.acceleration / SMOOTH_S + 1e-3).all()


def test_the_permitted_speed_falls_towards_the_end_of_a_joint():
    free = fr3_limits(velocity_scale=1.0)
    limiter, fastest = Limiter(free, MIDDLE), np.zeros(8)
    for _ in range(800):
        before = limiter.sent
        limiter.step(Target(np.full(8, 100.0), free.velocity), DT_S)
        check_laws(free, limiter.sent, before, DT_S)
        near = limiter.sent[0] > free.high - 0.1
        fastest = np.where(near, np.maximum(fastest, limiter.sent[1]), fastest)
    # libfranka's rate_limiting.h: joint 2, 0.1 rad from 1.7637 (the end less our margin)
    assert fastest[1] <= -0.20 + np.sqrt(5.17 * (1.7918 - (1.7637 - 0.1)))
    np.testing.assert_allclose(limiter.sent[0], free.high, atol=1e-4)


def test_an_arm_outside_its_limits_only_moves_inwards_and_without_a_jump():
    start = LIMITS.high + 0.05
    limiter = Limiter(LIMITS, start)
    last = start
    for _ in range(600):
        limiter.step(Target(start + 1.0, np.zeros(8)), DT_S)
        assert (limiter.sent[0] <= last + 1e-9).all()
        assert (np.abs(limiter.sent[0] - last) <= LIMITS.velocity * DT_S + 1e-12).all()
        last = limiter.sent[0]
    np.testing.assert_allclose(limiter.sent[0], LIMITS.high, atol=1e-4)


def test_a_standing_target_is_reached_without_overshoot():
    limiter = Limiter(LIMITS, MIDDLE)
    goal = MIDDLE + 0.3
    for _ in range(400):
        limiter.step(Target(goal, np.zeros(8)), DT_S)
        assert (limiter.sent[0] <= goal + 1e-9).all()
    np.testing.assert_allclose(limiter.sent[0], goal, atol=1e-6)
    assert limiter.at_rest() and not limiter.sent[1].any()


def test_a_target_that_keeps_the_limits_is_followed_half_a_window_later():
    limiter = Limiter(LIMITS, MIDDLE)
    for k in range(1, 300):
        t = k * DT_S
        goal = MIDDLE + 0.1 * (1 - np.cos(2 * t))
        limiter.step(Target(goal, np.full(8, 0.2 * np.sin(2 * t))), DT_S)
        np.testing.assert_allclose(limiter.position, goal, atol=1e-4)
        earlier = MIDDLE + 0.1 * (1 - np.cos(2 * max(t - SMOOTH_S / 2, 0.0)))
        np.testing.assert_allclose(limiter.sent[0], earlier, atol=2e-4)


def test_a_step_back_to_the_path_end_does_not_overshoot_its_hull():
    limiter = Limiter(LIMITS, MIDDLE)
    end = MIDDLE + 0.2
    for k in range(1, 100):  # 1 rad/s that stops dead at the end
        moving = k * DT_S < 0.2
        goal = MIDDLE + k * DT_S if moving else end
        speed = np.full(8, 1.0 if moving else 0.0)
        limiter.step(Target(goal, speed, low=goal, high=end), DT_S)
        assert (limiter.position <= end + 1e-9).all()


@pytest.mark.parametrize("pause_s", [0.11, 0.2, 0.5])
def test_after_a_pause_it_goes_on_as_slow_as_braking_allows_meanwhile(pause_s):
    limiter = Limiter(LIMITS, MIDDLE)
    for _ in range(20):
        limiter.step(Target(MIDDLE + 1.0, np.zeros(8)), DT_S)
    before = limiter.sent
    assert not limiter.at_rest()
    limiter.brake(pause_s)
    check_laws(LIMITS, limiter.sent, before, pause_s)
    slower = np.maximum(before[1] - LIMITS.acceleration * (pause_s - 0.02), 0.0)
    assert (limiter.sent[1] <= slower + 1e-9).all()


def test_smaller_limits_take_hold_by_braking():
    limiter, slow = Limiter(LIMITS, MIDDLE), fr3_limits(velocity_scale=0.1)
    for _ in range(40):
        limiter.step(Target(MIDDLE + 1.0, np.zeros(8)), DT_S)
    limiter.adopt(slow)
    for _ in range(60):
        before = limiter.sent
        limiter.step(Target(MIDDLE + 1.0, np.zeros(8)), DT_S)
        assert (np.abs(limiter.sent[1] - before[1]) <= LIMITS.acceleration * DT_S + 1e-9).all()
    assert (np.abs(limiter.sent[1]) <= slow.velocity + 1e-9).all()


@pytest.mark.parametrize("seed", range(2460, 2470))
def test_axes_that_stop_just_before_an_end_are_not_sent_past_it(seed):
    rng = np.random.default_rng(seed)
    tuned = fr3_limits(controller=TUNED)
    start = aim = rng.uniform(tuned.low, tuned.high)
    limiter = Limiter(tuned, start)
    for _ in range(60):
        if rng.random() < 0.2:
            ends = np.where(rng.random(8) < 0.5, tuned.low, tuned.high)
            outer = rng.random(8) < 0.8
            aim = np.where(outer, ends, rng.uniform(tuned.low, tuned.high))
        dt_s = rng.choice([0.01, 0.02, 0.05, 0.1, 0.15])
        if rng.random() < 0.3:
            limiter.brake(dt_s)
        else:
            limiter.step(Target(aim, np.zeros(8)), dt_s, rng.random(8) < 0.3)
        position, _ = limiter.sent
        assert (position >= tuned.low - 1e-9).all()
        assert (position <= tuned.high + 1e-9).all()

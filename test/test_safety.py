"""Laws of the limiter: whatever it is told, the command stays inside its limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arfm_ros.control.limits import fr3_limits
from arfm_ros.core.data import ActionChunk
from arfm_ros.core.errors import ConfigError, SafetyError
from arfm_ros.core.safety import Limiter, Target, check_chunk, stoppable_speed

LIMITS = fr3_limits()
MIDDLE = 0.5 * (LIMITS.low + LIMITS.high)
DT_S = 0.01
number = st.floats(-20.0, 20.0) | st.sampled_from([np.nan, np.inf, -np.inf, 1e300, 0.0])
vector = st.lists(number, min_size=8, max_size=8).map(np.asarray)
dt = st.sampled_from([0.0, -0.01, 0.002, DT_S, DT_S, 0.013, 0.02, 0.05, 3.0])
inputs = st.tuples(vector, vector, dt, st.booleans())


def step(limiter, position, velocity, dt_s, brake):
    """Take one step; what is not finite moves nothing."""
    try:
        return limiter.brake(dt_s) if brake else limiter.step(Target(position, velocity), dt_s)
    except SafetyError:
        return ()


@settings(max_examples=60, deadline=None)
@given(st.lists(inputs, min_size=1, max_size=40))
def test_no_input_makes_a_step_larger_than_velocity_times_dt(sequence):
    limiter = Limiter(LIMITS, MIDDLE)
    for position, velocity, dt_s, brake in sequence:
        before = limiter.position.copy()
        step(limiter, position, velocity, dt_s, brake)
        assert np.isfinite(limiter.position).all() and np.isfinite(limiter.velocity).all()
        reach = LIMITS.velocity * min(max(dt_s, 0.0), 0.02)
        assert (np.abs(limiter.position - before) <= reach + 1e-12).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(inputs, min_size=1, max_size=40))
def test_the_velocity_changes_by_at_most_acceleration_times_dt(sequence):
    limiter = Limiter(LIMITS, MIDDLE)
    for position, velocity, dt_s, brake in sequence:
        before = limiter.velocity.copy() if dt_s <= 0.1 else np.zeros(8)
        step(limiter, position, velocity, dt_s, brake)
        change = np.abs(limiter.velocity - before)
        if dt_s > 0 and limiter.velocity.any():
            assert (change <= LIMITS.acceleration * min(dt_s, 0.02) + 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(inputs, min_size=1, max_size=60), st.integers(0, 2**31))
def test_the_command_never_leaves_the_position_limits(sequence, seed):
    start = np.random.default_rng(seed).uniform(LIMITS.low, LIMITS.high)
    limiter = Limiter(LIMITS, start)
    for position, velocity, dt_s, brake in sequence:
        step(limiter, position, velocity, dt_s, brake)
        assert (limiter.position >= LIMITS.low).all() and (limiter.position <= LIMITS.high).all()


def test_full_speed_into_a_limit_stops_there_without_a_hard_brake():
    limiter = Limiter(LIMITS, MIDDLE)
    wall = Target(np.full(8, 100.0), LIMITS.velocity)
    before = limiter.velocity
    for _ in range(800):
        limiter.step(wall, DT_S)
        change = np.abs(limiter.velocity - before)
        assert (change <= LIMITS.acceleration * DT_S + 1e-9).all()
        before = limiter.velocity
    np.testing.assert_allclose(limiter.position, LIMITS.high, atol=1e-6)
    assert limiter.at_rest() and (limiter.counts["position"] > 0).all()


def test_an_arm_outside_its_limits_only_moves_inwards_and_without_a_jump():
    start = LIMITS.high + 0.05
    limiter = Limiter(LIMITS, start)
    last = start
    for _ in range(400):
        limiter.step(Target(start + 1.0, np.zeros(8)), DT_S)
        assert (limiter.position <= last + 1e-12).all()
        assert (np.abs(limiter.position - last) <= LIMITS.velocity * DT_S + 1e-12).all()
        last = limiter.position
    np.testing.assert_allclose(limiter.position, LIMITS.high, atol=1e-6)


def test_a_standing_target_is_reached_without_overshoot():
    limiter = Limiter(LIMITS, MIDDLE)
    goal = MIDDLE + 0.3
    for _ in range(300):
        limiter.step(Target(goal, np.zeros(8)), DT_S)
        assert (limiter.position <= goal + 1e-9).all()
    np.testing.assert_allclose(limiter.position, goal, atol=1e-9)


def test_a_target_that_keeps_the_limits_is_followed_exactly():
    limiter = Limiter(LIMITS, MIDDLE)
    for k in range(1, 300):
        t = k * DT_S
        goal = MIDDLE + 0.1 * (1 - np.cos(2 * t))
        limiter.step(Target(goal, np.full(8, 0.2 * np.sin(2 * t))), DT_S)
        np.testing.assert_allclose(limiter.position, goal, atol=1e-9)


def test_a_step_back_to_the_path_end_does_not_overshoot_its_hull():
    limiter = Limiter(LIMITS, MIDDLE)
    end = MIDDLE + 0.2
    for k in range(1, 100):  # 1 rad/s that stops dead at the end
        moving = k * DT_S < 0.2
        goal = MIDDLE + k * DT_S if moving else end
        speed = np.full(8, 1.0 if moving else 0.0)
        limiter.step(Target(goal, speed, low=goal, high=end), DT_S)
        assert (limiter.position <= end + 1e-9).all()


def test_stoppable_speed_is_braked_within_its_distance_for_any_dt():
    rng = np.random.default_rng(0)
    distance = rng.uniform(0, 1, 100)
    acceleration = rng.uniform(1, 10, 100)
    dt_s = 0.01
    speed = stoppable_speed(distance, acceleration, dt_s)
    travelled = speed * dt_s
    for _ in range(5000):
        dt_s = rng.uniform(0.001, 0.02)
        speed = np.maximum(speed - acceleration * dt_s, 0.0)
        travelled += speed * dt_s
    assert (speed == 0).all() and (travelled <= distance + 1e-12).all()


def test_a_pause_counts_as_standstill():
    limiter = Limiter(LIMITS, MIDDLE)
    for _ in range(20):
        limiter.step(Target(MIDDLE + 1.0, np.zeros(8)), DT_S)
    assert not limiter.at_rest()
    limiter.brake(0.5)
    assert limiter.at_rest()


def chunk_of(actions, names=LIMITS.names):
    return ActionChunk(np.asarray(actions, np.float32), 0, 50_000_000, names)


def test_actions_a_little_beyond_a_limit_are_clipped_and_far_ones_refused():
    actions = np.tile(MIDDLE, (4, 1))
    actions[2, 7] = 1.2
    assert check_chunk(chunk_of(actions), LIMITS)[2, 7] == 1.0
    actions[1, 0] = LIMITS.high[0] + 0.5
    with pytest.raises(SafetyError, match="beyond the limit of fr3_joint1"):
        check_chunk(chunk_of(actions), LIMITS)


def test_a_chunk_that_is_not_finite_or_not_ours_is_refused_by_name():
    actions = np.tile(MIDDLE, (4, 1))
    actions[3, 5] = np.nan
    with pytest.raises(SafetyError, match="not finite: fr3_joint6"):
        check_chunk(chunk_of(actions), LIMITS)
    with pytest.raises(SafetyError, match="the robot takes fr3_joint1"):
        check_chunk(chunk_of(actions[:, :2], ("a", "b")), LIMITS)


def test_limits_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="margin"):
        fr3_limits(margin_rad=2.0)
    with pytest.raises(ConfigError, match="velocity_scale"):
        fr3_limits(velocity_scale=1.5)

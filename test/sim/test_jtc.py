"""The rules of ros2_controllers' joint_trajectory_controller, one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.sim.controllers.jtc import F64, JtcConfig, JtcCore, JtcMessage
from arfm_ros.sim.controllers.jtc_segment import Point, segment_between

MS = 1_000_000
T0 = 1_000_000 * MS
PERIOD = 2 * MS
JOINTS = ("a", "b")
CONFIG = JtcConfig(JOINTS)


def at(time_ms: float, *positions: float, v: tuple[float, ...] | None = None) -> Point:
    speeds = None if v is None else np.array(v)
    return Point(round(time_ms * MS), np.array(positions), speeds)


def message(*points: Point, stamp_ns: int = 0, names: tuple[str, ...] = JOINTS) -> JtcMessage:
    return JtcMessage(names, stamp_ns, points)


def core(config: JtcConfig = CONFIG) -> JtcCore:
    return JtcCore(config, np.zeros(2))


def run(controller: JtcCore, begin_ns: int, until_ms: float) -> F64:
    """Sample until so many ms after `begin_ns`; return the positions."""
    times = range(begin_ns, begin_ns + round(until_ms * MS), PERIOD)
    return np.array([controller.sample(t)[0] for t in times])


GOOD = message(at(100, 0.1, 0.2), at(200, 0.3, 0.4, v=(0.0, 0.0)))


def test_it_holds_where_it_begins() -> None:
    assert not run(core(), T0, 20).any()


def test_stamp_0_starts_when_it_is_sampled_and_the_command_is_for_the_next_cycle() -> None:
    controller = core()
    assert controller.accept(message(at(100, 0.1, 0.2)), T0) == ""
    path = run(controller, T0 + 7 * MS, 110)
    np.testing.assert_allclose(path[0], np.array([0.1, 0.2]) * 0.02)
    np.testing.assert_allclose(path[24], np.array([0.1, 0.2]) * 0.5)
    np.testing.assert_allclose(path[-1], [0.1, 0.2])


def test_a_new_message_replaces_at_once_even_with_a_future_stamp() -> None:
    controller = core()
    controller.accept(message(at(1000, 1.0, 1.0)), T0)
    before = run(controller, T0, 100)[-1]
    controller.accept(message(at(100, 0.0, 0.0), stamp_ns=T0 + 2100 * MS), T0 + 100 * MS)
    after = run(controller, T0 + 100 * MS, 100)
    assert (after <= before).all()  # the old one is gone: it goes to the new point, slowly


def test_a_first_point_that_is_past_makes_the_command_jump() -> None:
    controller = core()
    points = [at(k * 50, 0.1 * k, 0.1 * k) for k in range(1, 5)]
    assert controller.accept(message(*points, stamp_ns=T0 - 90 * MS), T0) == ""
    np.testing.assert_allclose(controller.sample(T0)[0], 0.1 * 92 / 50)


def test_a_point_at_time_0_makes_the_command_jump() -> None:
    controller = core()
    controller.accept(message(at(0, 0.5, 0.5)), T0)
    np.testing.assert_array_equal(controller.sample(T0)[0], [0.5, 0.5])


REFUSED = [
    ("past", message(at(100, 0.1, 0.1), stamp_ns=T0 - 101 * MS)),
    ("last velocity", message(at(100, 0.1, 0.1, v=(0.0, 1e-6)))),
    ("joints", message(at(100, 0.1), names=("a",))),
    ("joints", message(at(100, 0.1, 0.1), names=("a", "c"))),
    ("no points", message()),
    ("times", message(at(100, 0.1, 0.1), at(100, 0.2, 0.2))),
    ("times", message(at(100, 0.1, 0.1), at(50, 0.2, 0.2))),
    ("sizes", message(at(100, 0.1))),
    ("sizes", message(at(100, 0.1, 0.1, v=(0.0,)))),
    ("effort", message(replace(at(100, 0.1, 0.1), effort=np.zeros(2)))),
]


@pytest.mark.parametrize(("kind", "bad"), REFUSED, ids=lambda v: v if isinstance(v, str) else "")
def test_what_it_rejects_is_counted_named_and_changes_nothing(kind: str, bad: JtcMessage) -> None:
    controller = core()
    controller.accept(GOOD, T0)
    reason = controller.accept(bad, T0)
    assert reason.startswith(f"{kind}: ") and reason == controller.reason
    assert controller.rejections == {kind: 1} and controller.accepted == 1
    np.testing.assert_allclose(run(controller, T0, 300)[-1], [0.3, 0.4])


def test_a_last_point_that_is_due_now_and_a_last_velocity_of_rounding_are_accepted() -> None:
    assert core().accept(message(at(100, 0.1, 0.1), stamp_ns=T0 - 100 * MS), T0) == ""
    assert core().accept(message(at(100, 0.1, 0.1, v=(0.0, 1.1e-7))), T0) == ""


def test_parameters_let_in_what_is_rejected_by_default() -> None:
    moving = message(at(100, 0.1, 0.1, v=(1.0, 1.0)))
    config = replace(CONFIG, allow_nonzero_velocity_at_trajectory_end=True)
    assert core(config).accept(moving, T0) == ""
    effort = message(replace(at(100, 0.1, 0.1), effort=np.zeros(2)))
    assert core(replace(CONFIG, effort_interface=True)).accept(effort, T0) == ""
    partial = core(replace(CONFIG, allow_partial_joints_goal=True))
    assert partial.accept(message(at(100, 0.3), names=("b",)), T0) == ""
    np.testing.assert_allclose(run(partial, T0, 120)[-1], [0.0, 0.3])
    assert partial.accept(message(at(100), names=()), T0).startswith("joints")


def test_joints_are_read_by_name() -> None:
    controller = core()
    controller.accept(message(at(100, 0.1, 0.2), names=("b", "a")), T0)
    np.testing.assert_allclose(run(controller, T0, 120)[-1], [0.2, 0.1])


def test_nan_is_not_checked() -> None:
    controller = core()
    assert controller.accept(message(at(100, float("nan"), 0.2)), T0) == ""
    assert np.isnan(controller.sample(T0)[0][0])


def test_a_trajectory_begins_at_the_measured_state_by_default() -> None:
    controller = core()
    controller.accept(message(at(100, 0.1, 0.1)), T0)
    position, _ = controller.sample(T0, measured=np.array([-0.05, 0.0]))
    np.testing.assert_allclose(position, [-0.05 + 0.15 * 0.02, 0.1 * 0.02])


def test_a_trajectory_can_begin_at_the_last_command_which_counts_as_one_period_older() -> None:
    controller = core(replace(CONFIG, interpolate_from_desired_state=True))
    path = message(at(1000, 1.0, 1.0, v=(0.0, 0.0)))
    controller.accept(path, T0)
    run(controller, T0, 500)
    before, speed = controller.sample(T0 + 500 * MS)
    controller.accept(replace(path, stamp_ns=T0), T0 + 502 * MS)
    after, _ = controller.sample(T0 + 502 * MS, measured=np.array([9.0, 9.0]))
    np.testing.assert_allclose(after - before, 2 * speed * 0.002, rtol=1e-2)


def test_a_perfect_arm_sees_no_step_where_the_same_path_is_sent_again() -> None:
    controller = core()
    path = message(at(1000, 1.0, 1.0, v=(0.0, 0.0)), stamp_ns=T0)
    controller.accept(path, T0)
    run(controller, T0, 500)
    before, speed = controller.sample(T0 + 500 * MS)
    controller.accept(path, T0 + 502 * MS)
    after, _ = controller.sample(T0 + 502 * MS)
    np.testing.assert_allclose(after - before, speed * 0.002, rtol=1e-2)


def test_between_points_it_is_a_line_a_cubic_or_a_quintic() -> None:
    a, b = Point(0, np.zeros(1)), Point(0, np.ones(1))
    zero = np.zeros(1)
    u = 0.3
    for first, second, wanted in (
        (a, b, u),
        (replace(a, velocities=zero), replace(b, velocities=zero), 3 * u**2 - 2 * u**3),
        (
            replace(a, velocities=zero, accelerations=zero),
            replace(b, velocities=zero, accelerations=zero),
            10 * u**3 - 15 * u**4 + 6 * u**5,
        ),
    ):
        found = segment_between(first, second, T0, T0 + 500 * MS).at(T0 + 150 * MS)
        np.testing.assert_allclose(found.positions, wanted)


def test_a_segment_meets_both_of_its_points_in_all_that_they_say() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        a, b = (Point(0, *random.standard_normal((3, 2))) for _ in range(2))
        segment = segment_between(a, b, T0, T0 + 400 * MS)
        for end, found in ((a, segment.at(T0)), (b, segment.at(T0 + 400 * MS))):
            for name in ("positions", "velocities", "accelerations"):
                np.testing.assert_allclose(getattr(found, name), getattr(end, name), atol=1e-9)


def test_accelerations_without_velocities_command_zero() -> None:
    point = replace(at(100, 0.5, 0.5), accelerations=np.zeros(2))
    controller = JtcCore(CONFIG, np.ones(2))
    assert controller.accept(message(point), T0) == ""
    assert not controller.sample(T0)[0].any()


def test_a_continuous_joint_goes_the_short_way() -> None:
    controller = JtcCore(replace(CONFIG, continuous=("a",)), np.array([3.1, 3.1]))
    controller.accept(message(at(100, -3.1, 3.1)), T0)
    position, _ = controller.sample(T0)
    assert position[0] == pytest.approx(-3.1 - (2 * np.pi - 6.2) * 0.98)
    assert position[1] == pytest.approx(3.1)


def test_before_the_state_it_begins_at_nothing_is_commanded() -> None:
    controller = core()
    controller.accept(message(at(100, 0.1, 0.1), at(200, 0.2, 0.2)), T0)
    run(controller, T0, 100)
    held, _ = controller.sample(T0 + 100 * MS)
    again, _ = controller.sample(T0 - 500 * MS)  # the clock went back
    np.testing.assert_array_equal(again, held)


def test_a_start_of_another_size_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"shape \(3,\), needs \(2,\): a, b"):
        JtcCore(CONFIG, np.zeros(3))

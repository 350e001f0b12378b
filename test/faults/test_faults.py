"""The fault suite: its judge sees what is wrong, and the running stack keeps its promises."""

import random
from dataclasses import replace

import numpy as np
import pytest

from arfm_ros.faults import run
from arfm_ros.faults.inject import timing
from arfm_ros.faults.inject.kinds import all_kinds, chosen
from arfm_ros.faults.judging import bounds
from arfm_ros.faults.judging.course import Marks
from arfm_ros.faults.judging.expected import ANY, Expected, Kind, stops
from arfm_ros.faults.judging.judge import judge
from arfm_ros.faults.judging.record import Motion, Record, Word
from arfm_ros.robots.fr3 import facts as fr3

HOME = np.array(fr3.HOME)
TICK_S = 0.01
CELLS = ("off", "stuck", "garbage", "wrong", "slow", "delayed", "intermittent")
SMALL = ("state nan", "second commander", "e-stop volatile", "SIGKILL arbiter")
LATE_MS = 30.0  # a machine on which the simulated robot is later than that cannot keep times


def motion(speed, begin_s=0.0, end_s=2.0, rest_s=None, hertz=100.0):
    """Joint 1 at `speed` until `rest_s`."""
    times = np.arange(begin_s, end_s, 1 / hertz)
    moving = np.ones_like(times) if rest_s is None else (times < rest_s).astype(float)
    velocity = np.zeros((len(times), 7))
    velocity[:, 0] = speed * moving
    position = HOME + np.cumsum(velocity, axis=0) / hertz
    return Motion(times, times + 1e6, position, velocity, times)


def record(**changes):
    moved = motion(0.09, rest_s=1.2)
    words = [Word(0.0, "policy"), Word(1.05, "hold")]
    said = [Word(1.1, "joint state is stale", "arbiter_node", 2)]
    whole = Record(moved, moved, motion(0.09, rest_s=1.2, hertz=250.0), (), words, (), said, ())
    return replace(whole, **changes)


def judged(changed, expected, recovered="by itself"):
    marks = Marks(1.0, 1.9, 2.0, recovered, asked_s=1.95)
    return judge(Kind("made up", None, expected), 0, changed, marks)


def test_a_good_trial_is_no_violation():
    row = judged(record(), stops(0.0, "stale"))
    assert row.violations == []
    assert row.stop_ms == pytest.approx(50) and row.rest_ms == pytest.approx(150, abs=5)


@pytest.mark.parametrize(
    "changes, expected, complaint",
    [
        ({"authority": [Word(0.0, "policy"), Word(1.3, "hold")]}, stops(), "stop begun after"),
        ({"authority": [Word(0.0, "policy")]}, stops(), "stop begun never"),
        ({"arm": motion(0.09, hertz=250.0)}, stops(), "arm at rest never"),
        ({"health": ()}, stops(0.0, "stale"), "no word of"),
        ({"health": [Word(1.9, "stale")]}, stops(0.0, "stale"), "reason published"),
        ({"command": motion(float("nan"))}, ANY, "command is not finite"),
        ({"command": motion(3.0, end_s=0.5)}, ANY, "command velocity"),
        ({"command": motion(0.5, rest_s=1.0)}, ANY, "command acceleration"),
        ({"arm": motion(3.0, end_s=0.3, hertz=250.0)}, ANY, "arm velocity"),
        ({"arm": motion(1.2, rest_s=1.0, hertz=250.0)}, ANY, "arm acceleration"),
        ({"target": motion(3.0, end_s=0.5)}, ANY, "command step"),
        ({"target": motion(2.0, end_s=1.9)}, ANY, "beyond a position limit"),
    ],
)
def test_the_judge_names_each_broken_promise(changes, expected, complaint):
    assert any(complaint in text for text in judged(record(**changes), expected).violations)


@pytest.mark.parametrize("slows_s, told_s, stop_ms", [(1.05, 1.4, 50), (1.35, 1.4, 350)])
def test_a_stop_begins_where_the_commands_begin_it_not_where_it_is_told(slows_s, told_s, stop_ms):
    moved = motion(0.09, rest_s=slows_s)
    words = [Word(0.0, "policy"), Word(told_s, "hold")]
    row = judged(record(command=moved, target=moved, authority=words), stops())
    assert row.stop_ms == pytest.approx(stop_ms, abs=15)
    assert any("stop begun" in text for text in row.violations) == (stop_ms > 100)


def test_slowing_down_for_longer_than_a_stop_takes_is_no_stop():
    moved = motion(0.4)
    moved.velocity[:, 0] = np.interp(moved.sent_s, [1.0, 1.8], [0.4, 0.0])
    words = [Word(0.0, "policy"), Word(1.7, "hold")]
    row = judged(record(command=moved, authority=words), stops())
    assert row.stop_ms == pytest.approx(700, abs=15)


@pytest.mark.parametrize("gap_s, needs", [(0.3, True), (0.6, False)])
def test_states_that_the_suite_itself_held_up_may_be_latched(gap_s, needs):
    kind = replace(next(k for k in all_kinds() if k.name == "camera delayed"), inject=None)
    times = np.concatenate([np.arange(0.0, 1.2, 0.01), np.arange(1.2 + gap_s, 3.0, 0.01)])
    passed = [(at, at + 1e6) for at in times]
    row = judge(kind, 0, record(passed=passed), Marks(1.0, 1.9, 2.0, "reset", asked_s=1.95))
    assert any("needs to by itself" in text for text in row.violations) == needs


@pytest.mark.parametrize("speed, says", [(0.3, True), (0.02, False)])
def test_a_frozen_camera_is_to_be_told_only_while_the_arm_moves(speed, says):
    kind = replace(next(k for k in all_kinds() if k.name == "camera stuck"), inject=None)
    marks = Marks(1.0, 4.0, 4.5, "by itself", asked_s=4.2)
    moved = motion(speed, end_s=4.0)
    changed = record(arm=moved, command=moved, target=moved, health=())
    row = judge(kind, 0, changed, marks)
    assert any("no word of" in text for text in row.violations) == says


def test_an_arm_that_runs_on_after_the_last_target_is_a_violation():
    target = motion(0.5, end_s=1.0)
    changed = record(target=target, command=target, arm=motion(0.5, hertz=250.0))
    row = judged(changed, Expected(ends=True))
    assert row.travel_rad > 0.3 and any("past the last target" in v for v in row.violations)


@pytest.mark.parametrize(
    "recovered, goes_on, expected, complaint",
    [
        ("", (), ANY, "does not recover"),
        ("reset", (), ANY, "recovers only by reset"),
        ("reset", (Word(1.9, "policy"),), stops(0.0, "", True), "needs to be latched"),
    ],
)
def test_the_judge_names_a_wrong_recovery(recovered, goes_on, expected, complaint):
    changed = record(authority=[Word(0.0, "policy"), Word(1.05, "hold"), *goes_on])
    violations = judged(changed, expected, recovered).violations
    assert any(complaint in text for text in violations)


def test_where_the_robot_was_late_an_arm_in_time_is_judged():
    arm = motion(0.09, rest_s=1.2, hertz=250.0)
    came = arm.sent_s + np.where(arm.stamp_s - 1e6 > 1.4, 0.2, 0.0)
    burst = np.where((arm.stamp_s - 1e6 > 1.4)[:, None], 4.0, arm.velocity)
    late = replace(arm, came_s=came, velocity=burst)
    row = judged(record(arm=late), stops(0.0, "stale"))
    assert row.replayed and row.violations == [] and row.arm_velocity_all > 1.0


def test_a_late_simulation_is_not_held_against_the_arm():
    arm = motion(0.5, hertz=250.0)
    came = arm.sent_s.copy()
    came[200:] += 0.05
    fit = bounds.judged(replace(arm, came_s=came), motion(0.5), True)
    assert not fit[:10].any() and fit[20:150].all() and not fit[210:300].any()


def test_what_the_arm_does_while_somebody_else_commands_is_not_held_against_us():
    wild = motion(1.2, rest_s=1.0, hertz=250.0)  # stops at once
    assert judged(record(arm=wild), ANY).arm_acceleration > 1.0
    assert judged(record(arm=wild, intruder_s=(0.9, 1.1)), ANY).arm_acceleration < 1.0


@pytest.mark.parametrize("what", ["camera", "state", "policy", "teleop"])
@pytest.mark.parametrize("how", CELLS)
def test_every_kind_of_fault_of_every_input_is_there(what, how):
    assert f"{what} {how}" in {kind.name for kind in all_kinds()}


@pytest.mark.parametrize("name", sorted(timing.FAULTS))
def test_no_timing_fault_invents_or_changes_a_message(name):
    fault = timing.FAULTS[name](random.Random(1))
    sent = [str(k).encode() for k in range(200)]
    passed = [one for k, message in enumerate(sent) for one in fault(message, k * TICK_S)]
    assert {message for _, message in passed} <= set(sent)
    assert all(0.0 <= after_s < 1.0 for after_s, _ in passed)


def test_each_kind_is_drawn_as_often_as_any_other():
    kinds = all_kinds()
    drawn = [kind.name for kind, _ in run.draw(kinds, 3 * len(kinds), 4)]
    assert all(drawn.count(kind.name) == 3 for kind in kinds)


@pytest.mark.robot
def test_some_faults_in_the_running_stack_break_no_promise():
    rows = run.run(run.draw(chosen(SMALL), len(SMALL), 1), lambda row: None)
    assert {row.kind: broken(row) for row in rows if broken(row) and in_time(row)} == {}
    assert max(row.command_velocity for row in rows) <= 1.0
    assert max(row.command_acceleration for row in rows) <= 1.0
    assert all(row.recovered for row in rows), [row.violations for row in rows]


def broken(row):
    """What does not hang on the contact of the hand: that is the whole set's business."""
    return [text for text in row.violations if not text.startswith("arm acceleration")]


def in_time(row):
    return row.robot_late_ms < LATE_MS


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_every_fault_in_the_running_stack_breaks_no_promise(seed):
    kinds = all_kinds()
    rows = run.run(run.draw(kinds, len(kinds), seed), lambda row: None)
    assert {f"{row.kind} {row.seed}": row.violations for row in rows if row.violations} == {}

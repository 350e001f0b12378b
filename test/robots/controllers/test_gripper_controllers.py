"""Grippers: their numbers, when they are told, and one goal at a time."""

from __future__ import annotations

import numpy as np
import pytest
from controller_rig import MS, gripper

from arfm_ros.core.safety.decision import Decision
from arfm_ros.robots.commands.controller import Controller
from arfm_ros.robots.commands.goals import GoalLane
from arfm_ros.robots.commands.opening import ChangedOpening
from arfm_ros.robots.commands.registry import make_controller
from arfm_ros.robots.commands.values import F64, Value, Values
from arfm_ros.robots.controllers.gripper_command import GripperGoal
from arfm_ros.robots.controllers.parallel_gripper_command import ParallelGripperGoal

ACTIONS = ("gripper_command", "parallel_gripper_command")
ROBOTIQ = {"scale": -1.25, "offset": 1.0}  # 0 open to 0.8 rad closed
FRANKA = {"scale": 25.0}  # half the width: 0 to 0.04 m


def nothing_ahead(now_ns: int, step_ns: int, count: int) -> tuple[F64, F64]:
    return np.zeros((0, 1)), np.zeros((0, 1))


def send(controller: Controller, opening: float | None, now_ns: int = 0) -> Value | None:
    command = None if opening is None else np.array([opening])
    decision = Decision(command, np.zeros(1), "policy")
    sent = [out.value for out in controller.commands(decision, now_ns, nothing_ahead)]
    assert len(sent) <= 1
    return sent[0] if sent else None


def number(value: Value | None) -> float:
    if isinstance(value, Values):
        return float(value.data[0])
    assert isinstance(value, (GripperGoal, ParallelGripperGoal))
    return value.position


@pytest.mark.parametrize("kind", ("float64_array", *ACTIONS))
@pytest.mark.parametrize(
    ("scaled", "closed", "opened"), [(ROBOTIQ, 0.8, 0.0), (FRANKA, 0.0, 0.04), ({}, 0.0, 1.0)]
)
def test_an_opening_is_sent_in_the_numbers_of_the_gripper(
    kind: str, scaled: dict[str, float], closed: float, opened: float
) -> None:
    for opening, wanted in ((0.0, closed), (1.0, opened), (0.5, 0.5 * (closed + opened))):
        controller = make_controller(gripper(kind, **scaled))
        assert number(send(controller, opening)) == pytest.approx(wanted)


def test_a_number_is_sent_on_change_and_twice_a_second() -> None:
    opening = ChangedOpening(0.005, refresh_s=0.5)
    sent = [opening.due(1.0, t * 10 * MS) for t in range(100)]
    assert [i for i, s in enumerate(sent) if s is not None] == [0, 50]
    assert opening.due(0.997, 1000 * MS) is not None  # the refresh
    assert opening.due(0.996, 1010 * MS) is None
    assert opening.due(0.9, 1020 * MS) == 0.9
    assert opening.due(-0.2, 1030 * MS) == 0.0
    opening.forget()
    assert opening.due(0.0, 1040 * MS) == 0.0


@pytest.mark.parametrize("kind", ACTIONS)
def test_a_goal_is_sent_on_change_only_and_not_at_every_tick(kind: str) -> None:
    controller = make_controller(gripper(kind))
    sent = [send(controller, 1.0, k * 10 * MS) for k in range(1000)]
    assert [k for k, one in enumerate(sent) if one is not None] == [0]
    assert send(controller, 0.99, 20_000 * MS) is None  # below the threshold
    assert number(send(controller, 0.9, 20_010 * MS)) == 0.9


@pytest.mark.parametrize("kind", ACTIONS)
def test_of_a_ramp_few_goals_are_sent_and_the_last_one_is_its_end(kind: str) -> None:
    controller = make_controller(gripper(kind))
    ramp = np.concatenate([np.linspace(1.0, 0.0, 50), np.zeros(50)])
    sent = [send(controller, float(v), k * 10 * MS) for k, v in enumerate(ramp)]
    told = [number(one) for one in sent if one is not None]
    assert 3 <= len(told) <= 8 and told[-1] == 0.0
    assert (np.diff(told) < 0).all()


@pytest.mark.parametrize("kind", ACTIONS)
def test_nearly_closed_becomes_closed_when_that_is_asked_for(kind: str) -> None:
    controller = make_controller(gripper(kind))
    assert send(controller, 0.01) is not None
    assert number(send(controller, 0.0, 200 * MS)) == 0.0


@pytest.mark.parametrize("kind", ACTIONS)
def test_after_being_idle_the_next_opening_is_sent_whatever_it_is(kind: str) -> None:
    controller = make_controller(gripper(kind))
    assert send(controller, 0.5) is not None
    assert send(controller, None, 10 * MS) is None
    assert send(controller, 0.5, 20 * MS) is not None


def test_a_parallel_goal_names_its_joint_and_carries_speed_and_effort() -> None:
    group = gripper("parallel_gripper_command", max_velocity=0.1, max_effort=20)
    assert send(make_controller(group), 1.0) == ParallelGripperGoal("gripper", 1.0, 0.1, 20.0)


def goal(position: float) -> GripperGoal:
    return GripperGoal(position, 0.0)


def test_while_a_goal_runs_only_the_newest_waits() -> None:
    lane = GoalLane(preempts=False)
    lane.offer(goal(0.1))
    assert lane.next(0) == (1, goal(0.1))
    lane.offer(goal(0.2))
    lane.offer(goal(0.3))
    assert lane.next(10 * MS) is None
    lane.finished(1)
    assert lane.next(20 * MS) == (2, goal(0.3))
    assert lane.next(30 * MS) is None


def test_a_server_that_preempts_gets_every_goal_at_once() -> None:
    lane = GoalLane(preempts=True)
    for k in range(3):
        lane.offer(goal(k))
        assert lane.next(k) == (k + 1, goal(k))


def test_a_lost_answer_does_not_keep_the_gripper_from_opening() -> None:
    lane = GoalLane(preempts=False, patience_ns=100 * MS)
    lane.offer(goal(0.0))
    lane.next(0)
    lane.offer(goal(1.0))
    assert lane.next(99 * MS) is None
    assert lane.next(100 * MS) == (2, goal(1.0))
    lane.finished(1)  # late: that of the goal before does not end this one
    lane.offer(goal(0.5))
    assert lane.next(110 * MS) is None


def test_what_waits_can_be_forgotten() -> None:
    lane = GoalLane(preempts=True)
    lane.offer(goal(0.0))
    lane.forget()
    assert lane.next(0) is None

"""The rules of each controller, kept by what is sent to it."""

from __future__ import annotations

from dataclasses import replace

import fr3_rig
import numpy as np
import pytest
from controller_rig import HOME, LIMITS, MS, Stack, arm, fr3_robot

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.decision import Decision
from arfm_ros.robots.commands import values
from arfm_ros.robots.commands.controller import Tools
from arfm_ros.robots.commands.registry import make_controller
from arfm_ros.robots.commands.values import F64
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.gains import PUBLISHED

TOOLS = Tools(forward=fr3_rig.forward)
ARMS = ("crisp_joint", "crisp_pose", "forward_position", "forward_velocity", "jtc")


def nothing_ahead(now_ns: int, step_ns: int, count: int) -> tuple[F64, F64]:
    return np.zeros((0, 7)), np.zeros((0, 7))


@pytest.mark.parametrize("name", ARMS)
def test_no_controller_sends_anything_while_idle(name: str) -> None:
    assert not Stack(arm(name), TOOLS).tick()


@pytest.mark.parametrize("name", ARMS)
def test_every_controller_sends_at_once_when_engaged(name: str) -> None:
    assert len(Stack(arm(name), TOOLS).engage().tick()) == 1


def test_crisp_gets_the_command_bit_for_bit_and_a_bounded_velocity() -> None:
    stack, bounded, openings = Stack(fr3_robot()).engage(), False, 0
    for k in range(300):
        if k in {1, 60, 140}:
            stack.chunk(1.2 - 0.01 * k)
        sent = {out.topic.name: out.value for out in stack.tick()}
        decision, command = stack.decision, stack.decision.command
        assert command is not None
        target = sent["target_joint"]
        assert isinstance(target, values.JointTarget) and target.frame == fr3.BASE_FRAME
        assert target.names == fr3.JOINT_NAMES
        assert target.position.tobytes() == command[:7].tobytes()
        assert target.velocity.tobytes() == PUBLISHED.field(decision.velocity[:7]).tobytes()
        bounded |= bool((target.velocity != decision.velocity[:7]).any())
        gripper = sent.get("gripper/gripper_position_controller/commands")
        if isinstance(gripper, values.Values):
            openings += 1
            assert gripper.data.tolist() == [command[7]]
    assert bounded  # it was fast enough for the bound on what is sent to act
    assert 2 <= openings < 300  # on change, and twice a second


def test_the_velocity_sent_to_crisp_leaves_the_arm_by_the_last_target() -> None:
    controller = make_controller(arm("crisp_joint"))
    fast = Decision(HOME[:7], np.full(7, 2.0), "policy")
    (out,) = controller.commands(fast, 0, nothing_ahead)
    assert isinstance(out.value, values.JointTarget)
    np.testing.assert_allclose(out.value.velocity, 0.7)  # 0.7 of 0.1 rad x K / D = 10 / s


def test_crisp_pose_gets_the_tool_pose_of_the_command_in_the_base_of_the_group() -> None:
    (out,) = Stack(arm("crisp_pose"), TOOLS).engage().tick()
    assert isinstance(out.value, values.PoseTarget) and out.value.frame == fr3.BASE_FRAME
    position, quaternion = fr3_rig.forward(np.asarray(fr3.HOME))
    np.testing.assert_allclose(out.value.position, position)
    np.testing.assert_allclose(out.value.quaternion_xyzw, quaternion)


def test_crisp_pose_without_kinematics_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs forward kinematics"):
        make_controller(arm("crisp_pose"))


def test_forward_position_gets_the_command_by_index() -> None:
    (out,) = Stack(arm("forward_position")).engage().tick()
    assert isinstance(out.value, values.Values)
    np.testing.assert_array_equal(out.value.data, HOME[:7])


def test_a_velocity_stream_ends_in_zeros_before_it_holds() -> None:
    stack = Stack(arm("forward_velocity")).engage()
    stack.tick()
    stack.chunk(0.3)
    sent = [out.value.data for _, out in stack.run(200) if isinstance(out.value, values.Values)]
    assert len(sent) == 200 and max(np.abs(row).max() for row in sent) > 0.2
    assert not np.any(sent[-50:])
    steps = np.abs(np.diff(sent, axis=0))
    assert (steps <= LIMITS.acceleration[:7] * 0.01 + 1e-9).all()


def test_a_velocity_stream_says_zero_once_more_when_it_goes_idle() -> None:
    controller = make_controller(arm("forward_velocity"))
    moving = Decision(HOME[:7], np.full(7, 0.2), "policy")
    assert controller.commands(moving, 0, nothing_ahead)
    idle = Decision(None, np.zeros(7), "idle")
    (out,) = controller.commands(idle, 0, nothing_ahead)
    assert isinstance(out.value, values.Values) and not out.value.data.any()
    assert not controller.commands(idle, 0, nothing_ahead)


def test_a_velocity_goes_back_to_the_path_but_never_moves_an_arm_that_holds() -> None:
    behind = HOME[:7] - 0.05
    controller = make_controller(arm("forward_velocity"), Tools(measured=lambda: behind))
    moving = Decision(HOME[:7], np.full(7, 0.2), "policy")
    (out,) = controller.commands(moving, 0, nothing_ahead)
    assert isinstance(out.value, values.Values)
    np.testing.assert_allclose(out.value.data, 0.2 + 2.0 * 0.05)
    hold = Decision(HOME[:7], np.zeros(7), "hold")
    (out,) = controller.commands(hold, 0, nothing_ahead)
    assert isinstance(out.value, values.Values) and not out.value.data.any()


def test_a_velocity_never_exceeds_that_of_its_axis() -> None:
    far = HOME[:7] - 3.0
    controller = make_controller(arm("forward_velocity"), Tools(measured=lambda: far))
    (out,) = controller.commands(Decision(HOME[:7], np.ones(7), "policy"), 0, nothing_ahead)
    assert isinstance(out.value, values.Values)
    np.testing.assert_array_equal(out.value.data, LIMITS.velocity[:7])


def test_positions_and_velocities_are_sent_in_the_numbers_of_the_message() -> None:
    group = arm("crisp_joint")
    turned = tuple(
        replace(one, scale=-2.0, offset=0.5, published="j" + one.name) for one in group.axes
    )
    controller = make_controller(replace(group, axes=turned))
    (out,) = controller.commands(
        Decision(np.full(7, 0.1), np.full(7, 0.3), "policy"), 0, nothing_ahead
    )
    assert isinstance(out.value, values.JointTarget) and out.value.names[0] == "jfr3_joint1"
    np.testing.assert_allclose(-2.0 * out.value.position + 0.5, 0.1)
    np.testing.assert_allclose(out.value.velocity, -0.15)


def trajectories(stack: Stack, ticks: int) -> list[tuple[int, values.Trajectory]]:
    found = []
    for at, out in stack.run(ticks):
        assert isinstance(out.value, values.Trajectory)
        found.append((at, out.value))
    return found


def test_a_trajectory_starts_three_steps_ahead_and_ends_at_rest() -> None:
    stack = Stack(arm("jtc")).engage()
    stack.tick()
    stack.chunk(0.3)
    sent = trajectories(stack, 120)
    assert len(sent) >= 3
    for _, one in sent:
        assert len(one.times_ns) == len(one.positions) == len(one.velocities) >= 2
        assert one.times_ns[0] >= 3 * 50 * MS
        assert (np.diff(one.times_ns) == 50 * MS).all()
        assert not one.velocities[-1].any()
        assert np.isfinite(one.positions).all()


def test_a_path_cut_off_in_motion_ends_by_braking_at_each_axiss_acceleration() -> None:
    stack = Stack(arm("jtc", points=2, resend_s=0.1)).engage()
    stack.tick()
    stack.chunk(0.8)
    sent = [one for _, one in trajectories(stack, 60)]
    cut = [one for one in sent if len(one.times_ns) > 2]
    assert cut
    limit = LIMITS.acceleration[:7]
    for one in cut:
        assert not one.velocities[-1].any()
        change = np.abs(np.diff(one.velocities[1:], axis=0)) / 0.05
        assert (change <= limit * (1 + 1e-9)).all()
        assert (one.positions >= LIMITS.low[:7]).all()
        assert (one.positions <= LIMITS.high[:7]).all()
        mean = 0.5 * (one.velocities[1:-2] + one.velocities[2:-1])
        np.testing.assert_allclose(np.diff(one.positions[1:-1], axis=0), 0.05 * mean, atol=1e-3)


def test_a_trajectory_is_replaced_long_before_it_ends_and_at_once_by_a_new_chunk() -> None:
    stack = Stack(arm("jtc")).engage()
    stack.tick()
    stack.chunk(0.3)
    sent = trajectories(stack, 40)
    for (at, one), (later, _) in zip(sent, sent[1:]):
        assert later - at <= 500 * MS < one.times_ns[-1]
    stack.chunk(0.1)
    assert stack.tick()


def test_a_trajectory_passes_through_what_the_arbiter_then_commands_until_it_is_replaced() -> None:
    stack = Stack(arm("jtc")).engage()
    stack.tick()
    stack.chunk(0.8)
    ((begin, one),) = trajectories(stack, 1)
    for time_ns, position in zip(one.times_ns, one.positions):
        if time_ns > 500 * MS:  # replaced by then
            break
        while stack.now < begin + time_ns:
            stack.tick()
        assert stack.decision.command is not None
        np.testing.assert_allclose(stack.decision.command[:7], position, atol=1e-3)


@pytest.mark.parametrize("how", ["estop", "fault"])
def test_a_stop_is_sent_at_once_and_brakes_within_the_limits(how: str) -> None:
    stack = Stack(arm("jtc")).engage()
    stack.tick()
    stack.chunk(0.8)
    trajectories(stack, 40)
    if how == "estop":
        stack.arbiter.on_estop(True, stack.now)
    else:
        stack.arbiter.fail("test")
    ((_, one),) = trajectories(stack, 1)
    assert np.abs(one.velocities[0]).max() < 0.8 and not one.velocities[-5:].any()
    change = np.abs(np.diff(one.velocities, axis=0)) / 0.05
    assert (change <= LIMITS.acceleration[:7] * (1 + 1e-6)).all()


def test_a_path_that_a_human_leads_is_sent_again_ten_times_a_second() -> None:
    stack = Stack(arm("jtc")).engage()
    sent = []
    for _ in range(100):
        stack.arbiter.on_human(HOME + np.append(np.full(7, 0.05), 0.0) * 0.99, stack.now)
        sent += [stack.now for _ in stack.tick()]
    assert 10 <= len(sent) <= 13 and max(np.diff(sent)) == 100 * MS


def test_a_hold_is_a_trajectory_that_stays_and_is_not_repeated_every_tick() -> None:
    stack = Stack(arm("jtc")).engage()
    sent = trajectories(stack, 100)
    assert 2 <= len(sent) <= 4
    for _, one in sent:
        np.testing.assert_allclose(one.positions, np.tile(HOME[:7], (20, 1)))


def test_with_fewer_than_two_points_ahead_nothing_is_sent() -> None:
    controller = make_controller(arm("jtc"))
    moving = Decision(HOME[:7], np.full(7, 0.2), "policy")

    def short(now_ns: int, step_ns: int, count: int) -> tuple[F64, F64]:
        return np.zeros((3, 7)), np.zeros((3, 7))

    assert not controller.commands(moving, 0, short)
    assert not controller.commands(moving, 0, nothing_ahead)


@pytest.mark.parametrize("options", [{"points": 1}, {"lead": 0}, {"step_s": 0.0}, {"resend_s": 2}])
def test_a_trajectory_that_cannot_work_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="needs|need"):
        make_controller(arm("jtc", **options))

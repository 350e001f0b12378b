"""The rules of each controller, kept by what is sent to it."""

import numpy as np
import pytest

from arfm_ros.control import fr3, kinematics
from arfm_ros.control.backends import (
    BACKENDS,
    GripperCommand,
    JointTarget,
    PoseTarget,
    Trajectory,
    Values,
    make_backend,
)
from arfm_ros.control.limits import fr3_limits
from arfm_ros.core.arbiter import Arbiter
from arfm_ros.core.data import ActionChunk
from arfm_ros.core.decision import ArbiterConfig
from arfm_ros.core.errors import ConfigError

MS = 1_000_000
LIMITS = fr3_limits()
HOME = np.append(np.asarray(fr3.HOME), 1.0)


class Stack:
    """An arbiter on a perfect robot, feeding one backend."""

    def __init__(self, backend):
        self.arbiter = Arbiter(ArbiterConfig(LIMITS))
        self.backend = make_backend(backend)
        self.now = 1000 * MS
        self.measured = HOME
        self.decision = None

    def engage(self):
        self.arbiter.engage(self.now, self.measured)
        return self

    def chunk(self, slope):
        k = np.arange(1, 17)[:, None] * 0.05
        actions = self.measured + slope * k * np.append(np.ones(7), 0.0)
        chunk = ActionChunk(actions.astype(np.float32), self.now, 50 * MS, LIMITS.names)
        assert self.arbiter.on_chunk(chunk, self.now) == ""

    def tick(self):
        self.now += 10 * MS
        self.arbiter.on_state(self.measured, self.now, self.now)
        self.decision = self.arbiter.tick(self.now)
        if self.decision.command is not None:
            self.measured = self.decision.command
        return self.backend.command(self.decision, self.now, self.arbiter.preview)


@pytest.mark.parametrize("name", BACKENDS)
def test_no_backend_sends_anything_while_idle(name):
    assert Stack(name).tick() is None


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_sends_at_once_when_engaged(name):
    assert Stack(name).engage().tick() is not None


def test_crisp_joint_gets_position_and_velocity_of_the_same_length_every_tick():
    stack = Stack("crisp_joint").engage()
    stack.tick()
    stack.chunk(0.3)
    for _ in range(120):
        sent = stack.tick()
        assert isinstance(sent, JointTarget)
        assert sent.position.shape == sent.velocity.shape == (7,)
    assert not sent.velocity.any() and sent.position.any()


def test_crisp_pose_gets_the_tool_pose_of_the_command():
    stack = Stack("crisp_pose").engage()
    sent = stack.tick()
    assert isinstance(sent, PoseTarget) and sent.frame == fr3.BASE_FRAME
    position, quaternion = kinematics.forward(np.asarray(fr3.HOME))
    np.testing.assert_allclose(sent.position, position)
    np.testing.assert_allclose(sent.quaternion_xyzw, quaternion)


def test_forward_position_gets_seven_values():
    sent = Stack("forward_position").engage().tick()
    assert isinstance(sent, Values) and sent.data.shape == (7,)


def trajectories(stack, ticks):
    return [(stack.now, sent) for _ in range(ticks) if (sent := stack.tick()) is not None]


def test_a_trajectory_starts_three_steps_ahead_and_ends_with_velocity_zero():
    stack = Stack("jtc").engage()
    stack.tick()
    stack.chunk(0.3)
    sent = trajectories(stack, 120)
    assert len(sent) > 5
    for _, trajectory in sent:
        assert isinstance(trajectory, Trajectory) and len(trajectory.times_ns) >= 2
        assert trajectory.times_ns[0] >= 3 * 50 * MS
        assert (np.diff(trajectory.times_ns) > 0).all()
        assert not trajectory.velocities[-1].any()
        assert np.isfinite(trajectory.positions).all()


def test_a_trajectory_is_replaced_long_before_it_ends_and_at_once_by_a_new_chunk():
    stack = Stack("jtc").engage()
    stack.tick()
    stack.chunk(0.3)
    sent = trajectories(stack, 40)
    for (at, trajectory), (later, _) in zip(sent, sent[1:]):
        assert later - at <= 100 * MS < trajectory.times_ns[-1]
    stack.chunk(0.1)
    assert stack.tick() is not None


def test_a_trajectory_passes_through_what_the_arbiter_then_commands():
    stack = Stack("jtc").engage()
    stack.tick()
    stack.chunk(0.3)
    trajectory = stack.tick()
    begin = stack.now
    for time_ns, position in zip(trajectory.times_ns, trajectory.positions):
        while stack.now < begin + time_ns:
            stack.tick()
        np.testing.assert_allclose(stack.decision.command[:7], position, atol=3e-3)


def test_a_hold_is_a_trajectory_that_stays_and_is_not_repeated_every_tick():
    stack = Stack("jtc").engage()
    sent = trajectories(stack, 100)
    assert 2 <= len(sent) <= 4
    for _, trajectory in sent:
        np.testing.assert_allclose(trajectory.positions, np.tile(HOME[:7], (20, 1)))


def test_the_gripper_is_sent_on_change_and_twice_a_second():
    gripper = GripperCommand()
    sent = [gripper.due(1.0, t * 10 * MS) for t in range(100)]
    assert [i for i, s in enumerate(sent) if s is not None] == [0, 50]
    assert gripper.due(0.997, 1000 * MS) is not None  # the refresh
    assert gripper.due(0.996, 1010 * MS) is None
    assert gripper.due(0.9, 1020 * MS) == 0.9
    assert gripper.due(-0.2, 1030 * MS) == 0.0
    gripper.forget()
    assert gripper.due(0.0, 1040 * MS) == 0.0


def test_an_unknown_backend_is_refused_with_the_names_there_are():
    with pytest.raises(ConfigError, match="crisp_joint, crisp_pose, jtc, forward_position"):
        make_backend("moveit")

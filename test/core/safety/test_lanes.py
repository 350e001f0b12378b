"""Groups of axes with a driver each: what one does leaves the others alone."""

import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.decision import ArbiterConfig, Lane
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.robots.fr3.limits import fr3_limits

MS = 1_000_000
LIMITS = fr3_limits()
ARM, GRIPPER = LIMITS.names[:7], LIMITS.names[7:]
HOME = np.array([0.0, -0.78, 0.0, -2.35, 0.0, 1.57, 0.78, 1.0])
LANES = (Lane("arm", 7), Lane("gripper", 1))


class Rig:
    def __init__(self, lanes=LANES):
        self.arbiter = Arbiter(ArbiterConfig(LIMITS, lanes=lanes))
        self.now = 10_000 * MS
        self.measured = HOME.copy()
        self.arbiter.engage(self.now, self.measured)

    def chunk(self, names=LIMITS.names, step=0.02, stamp=None):
        rows = [HOME + step * (k + 1) * np.append(np.ones(7), -1.0) for k in range(16)]
        columns = [LIMITS.names.index(name) for name in names if name in LIMITS.names]
        actions = np.array(rows, np.float32)[:, columns]
        return self.arbiter.on_chunk(
            ActionChunk(actions, stamp or self.now, 50 * MS, tuple(names)), self.now
        )

    def tick(self, n=1):
        decision = None
        for _ in range(n):
            self.now += 10 * MS
            self.arbiter.on_state(self.measured, self.now, self.now)
            decision = self.arbiter.tick(self.now)
            self.measured = decision.command.copy()
        return decision


def test_lanes_do_together_what_one_lane_does():
    one, two = Rig(lanes=()), Rig()
    for n in range(300):
        if n % 20 == 0:
            assert one.chunk(step=0.01 + n * 1e-4) == two.chunk(step=0.01 + n * 1e-4)
        if n in {150, 152}:
            for rig in (one, two):
                rig.arbiter.on_estop(n == 150, rig.now)
        if n == 200:
            for rig in (one, two):
                rig.arbiter.reset()
        a, b = one.tick(), two.tick()
        assert (a.authority, a.reason) == (b.authority, b.reason)
        assert np.array_equal(a.command, b.command)
        assert np.array_equal(a.velocity, b.velocity)


def test_a_chunk_of_the_arm_alone_leaves_the_gripper_where_it_is():
    rig = Rig()
    assert rig.chunk(ARM) == ""
    decision = rig.tick(40)
    assert decision.owners == {"arm": "policy", "gripper": "hold"}
    assert decision.authority == "policy"
    assert (decision.command[:7] - HOME[:7] > 0.05).all()
    assert decision.command[7] == HOME[7]


def test_a_chunk_names_its_axes_in_any_order():
    straight, turned = Rig(), Rig()
    assert straight.chunk(LIMITS.names) == turned.chunk(LIMITS.names[::-1]) == ""
    assert np.array_equal(straight.tick(30).command, turned.tick(30).command)


@pytest.mark.parametrize(
    ("names", "said"),
    [(ARM[:5], "lacks fr3_joint6, fr3_joint7 of group arm"), (("elbow", *GRIPPER), "elbow")],
)
def test_a_chunk_of_half_a_group_or_of_another_robot_is_refused_by_name(names, said):
    rig = Rig()
    rows = np.zeros((16, len(names)), np.float32)
    refusal = rig.arbiter.on_chunk(ActionChunk(rows, rig.now, 50 * MS, names), rig.now)
    assert said in refusal


def test_the_gripper_does_not_slow_the_human_s_arm_down():
    def arrives(lanes):
        rig = Rig(lanes)
        wanted = HOME + np.append(np.full(7, 0.05), -1.0)  # the gripper has the longer way
        for n in range(400):
            rig.arbiter.on_human(wanted, rig.now)
            decision = rig.tick()
            if np.abs(decision.command[:7] - wanted[:7]).max() < 0.005:
                return n
        return 400

    assert arrives(LANES) < 0.5 * arrives(())


def test_a_stop_brakes_all_lanes():
    rig = Rig()
    rig.chunk()
    rig.tick(30)
    rig.arbiter.on_estop(True, rig.now)
    decision = rig.tick(60)
    assert set(decision.owners.values()) == {"estop"}
    assert not decision.velocity.any()


def test_lanes_that_do_not_make_up_the_robot_are_refused():
    with pytest.raises(ConfigError, match="lanes have 6 axes, the limits 8"):
        ArbiterConfig(LIMITS, lanes=(Lane("arm", 6),))

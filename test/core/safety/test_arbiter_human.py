"""Laws of the arbiter with a human: priority, hand-over and shared control."""

import numpy as np
import pytest
from arbiter_rig import HOME, Rig, make_chunk

from arfm_ros.core.safety import decision as arb
from arfm_ros.core.safety.human import blend
from arfm_ros.core.safety.limits import Target


def test_an_engaged_human_has_priority_and_a_release_drops_older_observations():
    rig = Rig().engage()
    rig.tick()
    rig.chunk(slope=0.3)
    rig.tick(10)
    goal = rig.last.command + 0.1 * np.append(np.ones(7), 0)
    for _ in range(100):
        rig.arbiter.on_human(goal, rig.now)
        assert rig.tick().authority == arb.HUMAN
    np.testing.assert_allclose(rig.last.command, goal, atol=1e-3)
    observed = rig.now
    rig.tick()
    rig.arbiter.on_human(None, rig.now)
    refusal = rig.arbiter.on_chunk(make_chunk(observed), rig.now)
    assert "older than the hand-over" in refusal
    assert rig.tick().authority == arb.HOLD
    rig.chunk()
    assert rig.tick().authority == arb.POLICY


def test_a_dead_teleoperation_holds_and_does_not_hand_back_to_the_policy():
    rig = Rig().engage()
    rig.tick()
    rig.arbiter.on_human(HOME, rig.now)
    rig.chunk(slope=0.5)
    decision = rig.tick(40)
    assert decision.authority == arb.HOLD and "teleop target is" in decision.reason


def test_a_far_human_target_is_approached_slowly():
    rig = Rig().engage()
    rig.tick()
    far = HOME + np.append(np.full(7, 0.6), 0.0)
    fastest = 0.0
    for _ in range(250):
        rig.arbiter.on_human(far, rig.now)
        fastest = max(fastest, np.abs(rig.tick().velocity[:7]).max())
    assert fastest <= 1.1 * rig.arbiter.config.human_approach_rad_s
    np.testing.assert_allclose(rig.last.command, far, atol=1e-3)


def test_blend_0_is_the_policy_and_1_the_human():
    policy = Target(np.zeros(8), np.ones(8))
    human = Target(np.ones(8), np.zeros(8))
    assert blend(policy, human, 0.0) is policy and blend(policy, human, 1.0) is human
    half = blend(policy, human, 0.5)
    np.testing.assert_allclose(half.position, 0.5)
    np.testing.assert_allclose(half.velocity, 0.5)


@pytest.mark.parametrize("factor", [0.0, 1.0])
def test_a_shared_control_of_0_or_1_commands_what_one_of_them_alone_would(factor):
    shared, alone = Rig(human_blend=factor).engage(), Rig().engage()
    for rig in (shared, alone):
        rig.tick()
        rig.chunk(slope=0.2)
    for _ in range(60):
        shared.arbiter.on_human(HOME + 0.05, shared.now)
        if factor == 1.0:
            alone.arbiter.on_human(HOME + 0.05, alone.now)
        np.testing.assert_array_equal(shared.tick().command, alone.tick().command)
    assert shared.last.authority == (arb.HUMAN if factor else arb.POLICY)

"""Who has what after which request: the laws of handing over."""

import numpy as np
import pytest
from sharing_rig import (
    ARM,
    BOTH,
    HOME,
    HUMAN,
    HUMAN_ARM,
    LIMITS,
    MS,
    POLICY,
    Rig,
    both_pressed,
    moving,
    pressed,
)


def test_a_deadman_takes_only_what_the_device_names_and_leaves_the_other_bit_identical():
    taken, alone = Rig(give_back_ns=500 * MS), Rig(give_back_ns=500 * MS)
    for n in range(300):
        for rig in (taken, alone):
            if n % 20 == 0:  # the same chunks for both
                rig.measured[:7] = HOME[:7] + 1e-4 * n
                rig.chunk(gripper=-0.3 if n < 150 else 0.3, rate=0.05)
        if n == 50:
            taken.authority.deadman(True, taken.now)
        if 50 <= n < 180:
            taken.wants(0.05)
        if n == 180:
            taken.authority.deadman(False, taken.now)
        if n == 60:
            assert taken.owners() == HUMAN_ARM
        for rig in (taken, alone):
            rig.tick()
    assert np.array_equal(taken.commands[:, 7], alone.commands[:, 7])
    assert not np.array_equal(taken.commands[:, :7], alone.commands[:, :7])


def test_the_first_command_of_a_human_follows_on_and_comes_with_the_next_tick():
    rig = Rig()
    moving(rig)
    before = rig.last
    rig.authority.deadman(True, rig.now)
    rig.wants(0.4)
    rig.tick()
    assert rig.last.owners["arm"] == "human"
    coasting = before.command + before.velocity * 0.01
    assert np.abs(rig.last.command - coasting).max() < 1e-3


def test_a_deadman_without_a_target_stops_all_after_its_grace_and_lets_the_unnamed_go():
    rig = Rig()
    moving(rig)
    rig.authority.deadman(True, rig.now)
    assert rig.owners() == POLICY
    rig.tick(6)
    assert rig.owners() == HUMAN
    assert rig.last.reason == "waiting for the first teleop target"
    rig.wants()
    assert rig.owners() == HUMAN_ARM


@pytest.mark.parametrize("rate", [0.1, 0.4])
@pytest.mark.parametrize("after", [1, 5, 40])
def test_giving_back_neither_jumps_nor_turns_round(rate, after):
    rig = Rig(give_back_ns=500 * MS)
    rig.tick()
    rig.authority.deadman(True, rig.now)
    for n in range(120):
        rig.wants(0.003 * n)
        rig.tick()
    handed, old = len(rig.trace), rig.now
    rig.authority.deadman(False, rig.now)
    rig.tick(after)
    assert "older than the hand-over" in rig.chunk(rate, stamp=old - 1)
    for n in range(120):
        if n % 10 == 0:
            assert rig.chunk(rate) == ""
        rig.tick()
    arm = rig.commands[handed - 1 :, :7]
    assert np.diff(arm, axis=0).min() > -1e-6
    assert (arm[-1] - arm[0] > 0.3 * rate).all()


def test_the_policy_s_weight_comes_back_over_a_bounded_time():
    rig = Rig(give_back_ns=400 * MS)
    pressed(rig)
    rig.authority.deadman(False, rig.now)
    rig.tick(30)
    rig.chunk()
    weights = []
    for _ in range(45):
        rig.tick()
        weights.append(rig.authority.owners(rig.now)[0].weight)
    assert weights[-1] == 0.0 and weights[0] > 0.95
    assert np.diff(weights).min() > -1.6 * 0.01 / 0.4


def test_a_single_axis_is_the_human_s_while_the_others_follow_the_policy():
    rig = Rig(give_back_ns=300 * MS)
    rig.tick()
    one = (ARM[3],)
    for n in range(200):
        if n % 10 == 0:
            rig.chunk(0.1)
        rig.wants(-0.1, one)
        if n == 20:
            assert rig.authority.request(ARM[3], "human", rig.now) == ""
        if n == 120:
            (arm, _) = rig.authority.owners(rig.now)
            assert arm.axes[ARM[3]] == 1.0 and arm.axes[ARM[0]] == 0.0
            assert rig.authority.request(ARM[3], "policy", rig.now) == ""
            assert rig.owners() == POLICY
        rig.tick()
    moved = rig.commands - HOME
    assert moved[119, 3] == pytest.approx(-0.1, abs=2e-3) and moved[119, 0] > 0.05
    assert (np.diff(moved[121:, 3]) > -1e-6).all() and moved[-1, 3] > moved[121, 3]


def test_a_gripper_s_way_does_not_slow_the_arm_down_even_in_one_lane():
    from arfm_ros.core.safety.arbiter import Arbiter
    from arfm_ros.core.safety.decision import ArbiterConfig, Lane

    def arrives(units):
        rig = Rig()
        lanes = (Lane("robot", 8, units=units),)
        rig.arbiter = Arbiter(ArbiterConfig(LIMITS, lanes=lanes))
        rig.authority = rig.arbiter.authority
        rig.arbiter.engage(rig.now, rig.measured)
        wanted = HOME + np.append(np.full(7, 0.05), -1.0)
        for n in range(400):
            rig.arbiter.on_human(wanted, rig.now)
            if np.abs(rig.tick().command[:7] - wanted[:7]).max() < 0.005:
                return n
        return 400

    assert arrives((*("rad",) * 7, "1")) <= 40 < 150 < arrives(())


def test_shared_is_between_both_and_shadow_plays_no_chunk_but_tells_the_disagreement():
    ends = {}
    for mode in ("teleop", "shared", "shadow"):
        rig = Rig(mode)
        rig.tick()
        rig.authority.deadman(True, rig.now)
        for n in range(60):
            if n % 20 == 0:
                assert rig.chunk(0.3) == ""
            rig.wants(0.0)
            rig.tick()
        ends[mode] = rig.last.command - HOME
        far = rig.authority.disagreement(rig.now)
        assert far.keys() == {"arm"} and 0.0 < far["arm"]["rad"] < 0.3
    assert np.array_equal(ends["teleop"], ends["shadow"])
    assert np.abs(ends["teleop"][:7]).max() < 1e-3 < 0.01 < ends["shared"][:7].min()


@pytest.mark.parametrize("mode", ["teleop", "shadow", "assist"])
def test_a_released_deadman_holds_where_the_policy_may_not_drive(mode):
    rig = Rig(mode)
    both_pressed(rig)
    rig.authority.deadman(False, rig.now)
    rig.chunk()
    rig.tick(20)
    assert (
        rig.last.owners["arm"] == "hold"
        and f"mode {mode}" in rig.arbiter.lanes.all[0].choose(rig.now, rig.arbiter.limiter)[1]
    )


def test_changing_the_mode_while_a_human_drives_makes_no_jump():
    rig = Rig()
    both_pressed(rig)
    for n in range(200):
        if n % 10 == 0:
            rig.chunk(0.2)
        if n % 40 == 39:
            mode = ("shared", "policy", "shadow", "teleop")[n // 40 % 4]
            assert rig.authority.request("mode", mode, rig.now) == ""
        rig.wants(0.1, BOTH)
        rig.tick()
    assert np.abs(np.diff(rig.commands, 2, axis=0)[:, :7]).max() < 0.1 * 0.01


def test_a_wrong_name_is_named_and_moves_nothing():
    rig = Rig()
    pressed(rig)
    assert "elbow" in rig.authority.target({"elbow": 0.1}, rig.now)
    assert "teleop target" in rig.authority.target({ARM[0]: float("nan")}, rig.now)
    assert "nothing" in rig.authority.target({}, rig.now)


def test_a_takeover_of_all_takes_what_has_a_target_and_gives_all_back():
    rig = Rig()
    moving(rig)
    assert "no fresh target" in rig.authority.takeover(True, rig.now)
    rig.wants()
    assert rig.authority.takeover(True, rig.now) == ""
    assert rig.owners() == HUMAN_ARM
    assert rig.authority.takeover(False, rig.now) == "" and rig.owners() == POLICY


@pytest.mark.parametrize("how", ["request", "service"])
def test_what_was_given_back_under_a_pressed_deadman_waits_for_the_next_press(how):
    rig = Rig()
    pressed(rig)
    if how == "request":
        rig.authority.request("arm", "policy", rig.now)
    else:
        rig.authority.takeover(False, rig.now)
    for _ in range(20):
        rig.authority.deadman(True, rig.now)
        rig.wants()
        rig.tick()
    assert rig.owners() == POLICY
    rig.authority.deadman(False, rig.now)
    rig.authority.deadman(True, rig.now)
    rig.wants()
    assert rig.owners() == HUMAN_ARM


def test_a_device_that_falls_silent_under_its_deadman_holds_all_groups_and_says_so():
    rig = Rig(give_back_ns=500 * MS)
    moving(rig)
    rig.wants()
    rig.authority.deadman(True, rig.now)
    for _ in range(20):
        rig.chunk(gripper=-0.5)
        rig.wants(0.1)
        rig.tick(2)
    assert rig.owners() == HUMAN_ARM
    for _ in range(20):
        rig.chunk(gripper=-0.5)
        rig.tick(2)
    last = rig.last
    assert (last.authority, dict(last.owners)) == ("hold", {"arm": "hold", "gripper": "hold"})
    assert "teleop target is" in last.reason
    assert np.allclose(last.velocity, 0.0)
    rig.wants(0.1)
    rig.chunk()
    rig.tick(2)
    assert rig.last.authority == "human"

"""Words move the robot by errands, stop it, and let the policy wait."""

import numpy as np
import pytest
from sharing_rig import ARM, HOME, Rig

from arfm_ros.robots.fr3.gains import TUNED
from arfm_ros.robots.fr3.limits import fr3_limits


def drive(rig, n, rate=0.2):
    for k in range(n):
        if k % 10 == 0:
            rig.chunk(rate)
        rig.tick()


def test_a_pause_brakes_with_the_next_tick_and_only_a_resume_ends_it():
    rig = Rig()
    drive(rig, 60)
    fast = np.abs(rig.last.velocity[:7]).max()
    rig.authority.pause("stop", rig.now)
    assert rig.tick().reason == "stop"
    assert np.abs(rig.last.velocity[:7]).max() < fast
    assert "holding: stop" in rig.chunk()
    drive(rig, 60)
    assert not rig.last.velocity.any() and rig.owners()["arm"] == "policy"
    assert rig.authority.resume(rig.now) == ""
    drive(rig, 30)
    assert rig.last.authority == "policy" and rig.last.velocity[:7].all()
    assert rig.authority.resume(rig.now) == "nothing is paused"


def test_a_pause_stops_a_human_too_and_goes_on_without_a_jump():
    rig = Rig()
    rig.authority.deadman(True, rig.now)
    for n in range(300):
        rig.wants(0.002 * n)
        if n == 100:
            rig.authority.pause("stop", rig.now)
        if n == 200:
            assert not rig.last.velocity.any()
            rig.authority.resume(rig.now)
        rig.tick()
    assert rig.last.authority == "human"


def test_an_errand_goes_home_at_a_bounded_speed_without_a_policy_and_stays():
    rig = Rig()
    rig.tick()
    goal = HOME[:7] + 0.5
    assert rig.authority.go("home", {"arm": goal}, True, rig.now) == ""
    rig.tick()
    assert rig.last.owners == {"arm": "words", "gripper": "hold"}
    rig.tick(200)
    speeds = np.abs([decision.velocity[:7] for decision in rig.trace])
    assert speeds.max() <= 1.1 * rig.arbiter.config.human_approach_rad_s
    np.testing.assert_allclose(rig.last.command[:7], goal, atol=1e-3)
    drive(rig, 30)
    np.testing.assert_allclose(rig.last.command[:7], goal, atol=1e-3)
    assert rig.owners()["arm"] == "words"
    rig.authority.resume(rig.now)
    drive(rig, 60)
    assert rig.last.authority == "policy" and rig.owners()["arm"] == "policy"


def test_a_nudge_gives_the_arm_back_and_leaves_the_gripper_bit_identical():
    nudged, alone = Rig(), Rig()
    for n in range(200):
        for rig in (nudged, alone):
            if n % 20 == 0:
                rig.measured[:7] = HOME[:7] + 1e-4 * n
                rig.chunk(0.05, gripper=-0.2)
        if n == 50:
            goal = nudged.last.command[:7] + 0.02
            assert nudged.authority.go("left", {"arm": goal}, False, nudged.now) == ""
        for rig in (nudged, alone):
            rig.tick()
    assert np.array_equal(nudged.commands[:, 7], alone.commands[:, 7])
    assert nudged.owners()["arm"] == "policy"


def test_an_errand_works_while_paused_and_the_rest_waits():
    rig = Rig()
    drive(rig, 30)
    rig.authority.pause("stop", rig.now)
    rig.tick(40)
    assert rig.authority.go("home", {"arm": HOME[:7]}, True, rig.now) == ""
    rig.tick()
    assert rig.last.owners == {"arm": "words", "gripper": "hold"}


def test_an_errand_is_refused_while_a_human_drives_and_out_of_reach_of_faults():
    rig = Rig()
    rig.authority.deadman(True, rig.now)
    rig.wants()
    assert "a person drives arm" in rig.authority.go("home", {"arm": HOME[:7]}, True, rig.now)
    rig.authority.deadman(False, rig.now)
    assert "goal" in rig.authority.go("x", {"arm": HOME[:7] * np.nan}, True, rig.now)
    assert "no such group" in rig.authority.go("x", {}, True, rig.now)
    rig.arbiter.fail("broken")
    assert "broken" in rig.authority.go("home", {"arm": HOME[:7]}, True, rig.now)


@pytest.mark.parametrize("how", ["estop", "stale", "human", "pause"])
def test_what_interrupts_an_errand_ends_it(how):
    rig = Rig()
    rig.tick()
    rig.authority.go("home", {"arm": HOME[:7] + 1.0}, True, rig.now)
    rig.tick(30)
    if how == "estop":
        rig.arbiter.on_estop(True, rig.now)
        rig.arbiter.on_estop(False, rig.now)
        rig.tick(40)
        rig.arbiter.reset()
    elif how == "stale":
        rig.silent = True
        rig.tick(30)
        rig.silent = False
    elif how == "human":
        rig.authority.deadman(True, rig.now)
        rig.wants(names=ARM)
        rig.authority.deadman(False, rig.now)
    else:
        rig.authority.pause("stop", rig.now)
    rig.tick(40)
    assert rig.owners()["arm"] == "policy" and not rig.last.velocity[:7].any()


def test_a_question_holds_the_policy_s_groups_and_not_the_human_s():
    rig = Rig()
    drive(rig, 30)
    rig.authority.deadman(True, rig.now)
    rig.wants(0.1)
    rig.authority.ask("asks: go on?", rig.now)
    for _ in range(40):
        rig.wants(0.1)
        rig.tick()
    assert rig.last.owners == {"arm": "human", "gripper": "hold"}
    assert rig.owners() == {"arm": "human", "gripper": "policy"}
    assert "holding: asks: go on?" in rig.chunk()
    rig.authority.ask("", rig.now)
    assert rig.chunk() == ""


def test_an_arm_behind_a_too_fast_plan_rests_half_a_second_after_its_policy_died():
    rig = Rig(limits=fr3_limits(controller=TUNED))
    rig.tick()
    for n in range(30):
        if n % 10 == 0:
            assert rig.chunk(4.0) == ""
        rig.tick()
    end_ns = rig.arbiter.player.end_ns
    while rig.now < end_ns:
        rig.tick()
    rig.tick(15)
    assert np.abs(rig.last.velocity).max() > 0.01
    rig.tick(35)
    assert np.abs(rig.last.velocity).max() < 1e-6
    reasons = {rig.arbiter.lanes.all[0].choose(rig.now, rig.arbiter.limiter)[1]}
    assert reasons == {"chunk ended, its end was not reached"}

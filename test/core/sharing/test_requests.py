"""Who has what after which request: the table."""

import pytest
from sharing_rig import (
    BOTH,
    HOME,
    HUMAN,
    HUMAN_ARM,
    MS,
    POLICY,
    Rig,
    both_pressed,
    moving,
    pressed,
)

from arfm_ros.core.errors import SafetyError
from arfm_ros.core.sharing.modes import read_request


def fresh(rig):
    moving(rig)
    rig.wants(names=BOTH)


def stopped(rig):
    fresh(rig)
    rig.arbiter.on_estop(True, rig.now)


def faulty(rig):
    fresh(rig)
    rig.arbiter.fail("broken")


def stale(rig):
    fresh(rig)
    rig.now += 300 * MS


def silent_robot(rig):
    fresh(rig)
    rig.silent = True
    rig.tick(30)
    rig.wants(names=BOTH)


def leaving(rig):
    fresh(rig)
    rig.arbiter.disengage()


def errand(rig):
    fresh(rig)
    rig.authority.go("home", {"arm": HOME[:7] + 0.2}, True, rig.now)


# state, mode, request, owners afterwards, what the refusal says ('': granted)
TABLE = [
    (moving, "policy", ("arm", "policy"), POLICY, ""),
    (fresh, "policy", ("arm", "human"), HUMAN_ARM, ""),
    (fresh, "policy", ("gripper", "human"), {"arm": "policy", "gripper": "human"}, ""),
    (fresh, "policy", ("fr3_joint4", "human"), HUMAN_ARM, ""),
    (pressed, "policy", ("arm", "policy"), POLICY, ""),
    (pressed, "policy", ("mode", "shared"), HUMAN_ARM, ""),
    (pressed, "policy", ("mode", "teleop"), HUMAN, ""),
    (both_pressed, "policy", ("gripper", "policy"), HUMAN_ARM, ""),
    (both_pressed, "policy", ("mode", "assist"), HUMAN_ARM, ""),
    (errand, "policy", ("arm", "human"), HUMAN_ARM, ""),
    (errand, "policy", ("arm", "policy"), POLICY, ""),
    (errand, "policy", ("gripper", "human"), {"arm": "words", "gripper": "human"}, ""),
    (fresh, "shared", ("arm", "human"), HUMAN_ARM, ""),
    (fresh, "teleop", ("arm", "human"), HUMAN, ""),
    (fresh, "assist", ("gripper", "human"), HUMAN, ""),
    (fresh, "assist", ("arm", "policy"), POLICY, ""),
    (fresh, "shadow", ("mode", "policy"), POLICY, ""),
    (moving, "policy", ("arm", "human"), POLICY, "no fresh target"),
    (stale, "policy", ("arm", "human"), POLICY, "no fresh target"),
    (fresh, "teleop", ("arm", "policy"), HUMAN, "mode teleop forbids"),
    (fresh, "shadow", ("gripper", "policy"), HUMAN, "mode shadow forbids"),
    (fresh, "assist", ("fr3_joint1", "policy"), HUMAN_ARM, "mode assist forbids"),
    (stopped, "policy", ("arm", "human"), POLICY, "e-stop pressed"),
    (faulty, "policy", ("arm", "human"), POLICY, "broken"),
    (silent_robot, "policy", ("arm", "human"), POLICY, "joint state is stale"),
    (leaving, "policy", ("arm", "human"), POLICY, "not engaged"),
    (fresh, "policy", ("leg", "human"), POLICY, "there is: arm, gripper"),
    (fresh, "policy", ("arm", "words"), POLICY, "needs human or policy"),
    (fresh, "policy", ("arm", "nobody" * 99), POLICY, "needs human or policy"),
    (fresh, "policy", ("mode", "party"), POLICY, "needs one of: policy, teleop"),
]


@pytest.mark.parametrize(("state", "mode", "request_", "owners", "refusal"), TABLE)
def test_who_has_what_after_a_request(state, mode, request_, owners, refusal):
    rig = Rig(mode)
    state(rig)
    said = rig.authority.request(*request_, rig.now)
    assert refusal in said and bool(said) == bool(refusal)
    assert rig.owners() == owners


def test_a_request_before_engaging_is_refused():
    assert "not engaged" in Rig(engaged=False).authority.request("arm", "human", 0)


def test_a_request_is_read_with_the_mode_first():
    assert read_request("arm=human mode=assist") == (("mode", "assist"), ("arm", "human"))


@pytest.mark.parametrize(
    "text", ["", "arm", "=human", "arm=", "a=b=c", "日本", "arm=human " * 200]
)
def test_what_is_no_request_is_refused(text):
    with pytest.raises(SafetyError, match="request"):
        read_request(text)

"""The action spaces of a bundle: written and read, old bundles as before, a stranger's refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from learn_rig import spec

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.spec import Axis, PolicySpec
from arfm_ros.robots.actions.policy import policy_actions
from arfm_ros.robots.actions.spaces import read_actions
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.kinematics.arm import ArmKinematics

FR3 = load_robot("fr3")
KINEMATICS = ArmKinematics(FR3, "arm")
SPACES = (
    {"group": "arm", "space": "tool_pose", "reference": "previous", "rotation": "axis_angle"},
    {"group": "gripper", "space": "gripper_binary", "closed": -1.0},
)
Q = np.array([axis.home for axis in FR3.axes])


def in_spaces() -> PolicySpec:
    """Make a policy that commands steps of the tool."""
    names = read_actions(SPACES, FR3, lambda _: KINEMATICS).names
    plain, shape = spec(), (spec().horizon, len(names))
    norm = Affine(np.zeros(shape, np.float32), np.ones(shape, np.float32))
    axes = tuple(Axis(name, "1", -1.0, 1.0) for name in names)
    flags = (False,) * len(names)
    return replace(plain, action=axes, action_norm=norm, relative=flags, actions=SPACES)


def changed(actions: object) -> str:
    """Write a policy whose action spaces a stranger wrote."""
    raw = json.loads(in_spaces().to_json())
    return json.dumps(raw | {"actions": actions})


def test_spaces_read_back_equal() -> None:
    again = PolicySpec.from_json(in_spaces().to_json())
    assert again == in_spaces() and again.actions == SPACES
    assert again != replace(in_spaces(), actions=())


def test_a_policy_without_spaces_is_written_as_before_there_were_any() -> None:
    raw = json.loads(spec().to_json())
    assert "actions" not in raw and PolicySpec.from_json(json.dumps(raw)).actions == ()


def test_actions_become_joints_and_back() -> None:
    actions = policy_actions(in_spaces(), FR3, lambda _: KINEMATICS)
    path = Q + np.linspace(0.0, 0.1, 5)[1:, None] * ([1.0] * 7 + [0.0])
    steps = actions.from_joints(path, Q)  # the arm has a joint to spare: the tool is what counts
    np.testing.assert_allclose(
        actions.from_joints(actions.to_joints(steps, Q), Q), steps, atol=2e-4
    )


def test_without_spaces_actions_are_positions_of_their_axes() -> None:
    plain = spec()
    turned = replace(plain, action=plain.action[::-1], relative=plain.relative[::-1])
    actions = policy_actions(turned, FR3, lambda _: KINEMATICS)
    values = np.random.default_rng(0).normal(size=(3, 8))
    path = actions.to_joints(values, Q)
    np.testing.assert_array_equal(path[:, ::-1], values)
    np.testing.assert_allclose(actions.from_joints(path, Q), values, rtol=1e-6)


@pytest.mark.parametrize(
    ("actions", "why"),
    [
        ({}, "actions is {}, needs a list"),
        ([[]], r"actions\[0\] is \[\], needs a map"),
        ([{"space": "tool_pose"}], r"actions\[0\] lacks group"),
        ([{"group": "arm", "space": ""}], r"actions\[0\] lacks space"),
        ([{"group": "arm", "space": 3}], r"actions\[0\].space is 3, needs a text"),
        (
            [{"group": "arm", "space": "a", "scale": [1]}],
            r"actions\[0\].scale is \[1\], needs a n",
        ),
        ([{"group": "arm", "space": "a", "scale": float("nan")}], "scale is nan, needs a number"),
        ([{"group": "arm", "space": "a"}] * 2, "actions have group 'arm' twice"),
        ([{"group": str(n), "space": "a"} for n in range(65)], "at most 64 entries"),
        ([{"group": "a", "space": "a"} | {str(n): 1 for n in range(40)}], "42 entries, at most"),
    ],
)
def test_what_is_no_list_of_spaces_is_refused(actions: object, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        PolicySpec.from_json(changed(actions))


@pytest.mark.parametrize(
    ("actions", "why"),
    [
        ([{"group": "leg", "space": "joint_position"}], "no group 'leg', it has: arm, gripper"),
        ([{"group": "arm", "space": "telepathy"}], "'telepathy', needs one of joint_position"),
        ([{"group": "arm", "space": "joint_position", "gain": 1.0}], "no option 'gain'"),
        ([{"group": "arm", "space": "joint_position"}], "its spaces on robot 'fr3' have fr3_join"),
    ],
)
def test_spaces_that_the_robot_does_not_have_are_named(actions: object, why: str) -> None:
    policy = PolicySpec.from_json(changed(actions))
    with pytest.raises(SpecError, match=f"policy 'rig'.*{why}"):
        policy_actions(policy, FR3, lambda _: KINEMATICS)


def test_relative_flags_and_spaces_exclude_each_other() -> None:
    with pytest.raises(SpecError, match="reference replaces relative flags"):
        replace(spec(), actions=SPACES)


def test_axes_that_the_robot_does_not_have_are_named() -> None:
    with pytest.raises(SpecError, match="robot 'ur5e' has no fr3_joint1, .* shoulder_pan_joint"):
        policy_actions(spec(), load_robot("ur5e"), lambda _: KINEMATICS)

"""Controllers are found by themselves, and errors name what there is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fr3_rig
import pytest
from controller_rig import arm, axes, gripper

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots import controllers
from arfm_ros.robots.commands.controller import Tools
from arfm_ros.robots.commands.registry import Kind, kinds, make_controller, register
from arfm_ros.robots.commands.whole import WholeRobot
from arfm_ros.robots.robot import Group, Robot

GRIPPERS = tuple(name for name, kind in kinds().items() if kind.units == ("1",))
ARMS = tuple(name for name in kinds() if name not in GRIPPERS)
TOOLS = Tools(forward=fr3_rig.forward)


def group_of(kind: str) -> Group:
    return gripper(kind) if kind in GRIPPERS else arm(kind)


def test_every_file_of_the_folder_is_a_kind_of_its_name() -> None:
    folder = Path(next(iter(controllers.__path__)))
    assert {path.stem for path in folder.glob("[!_]*.py")} == set(kinds()) > {"jtc"}


@pytest.mark.parametrize("name", (*ARMS, *GRIPPERS))
def test_every_kind_has_topics_of_a_known_type_and_renames_them(name: str) -> None:
    group = group_of(name)
    (topic,) = make_controller(group, TOOLS).topics(group)
    assert "/" in topic.interface and topic.reliable and topic.depth == 1
    moved = replace(group, command_topics={"command": "elsewhere"})
    assert make_controller(moved, TOOLS).topics(moved)[0].name == "elsewhere"


def test_an_unknown_kind_is_refused_with_the_kinds_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"'moveit', needs one of crisp_joint, crisp_pose, .*jtc"
    ):
        make_controller(arm("moveit"))


def test_an_unknown_option_is_refused_with_the_options_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no option 'poinst', it has: name, step_s, lead, poin"):
        make_controller(arm("jtc", poinst=3))


def test_an_option_of_the_wrong_type_is_refused_and_a_whole_number_is_a_number() -> None:
    with pytest.raises(ConfigError, match="option points of group 'arm' is 'many', needs a int"):
        make_controller(arm("jtc", points="many"))
    with pytest.raises(ConfigError, match="is True, needs a int"):
        make_controller(arm("jtc", points=True))
    make_controller(arm("jtc", resend_s=1))


def test_an_unknown_role_of_a_topic_is_refused() -> None:
    group = replace(arm("jtc"), command_topics={"comand": "x"})
    with pytest.raises(ConfigError, match="has 'comand', controller jtc has one role: command"):
        make_controller(group)


@pytest.mark.parametrize("name", ("crisp_joint", "crisp_pose", "forward_velocity"))
def test_axes_of_another_unit_are_refused_by_name(name: str) -> None:
    group = replace(arm(name), axes=axes(5, 8))
    with pytest.raises(ConfigError, match=r"does not take the axes of group 'arm': gripper \(1\)"):
        make_controller(group, TOOLS)


@pytest.mark.parametrize("name", GRIPPERS)
def test_a_gripper_takes_one_axis_that_is_an_opening(name: str) -> None:
    with pytest.raises(ConfigError, match="it takes units 1"):
        make_controller(arm(name))
    two = tuple(replace(axes(7, 8)[0], name=f"finger{i}") for i in range(2))
    with pytest.raises(ConfigError, match="takes 1 axes, group 'gripper' has 2"):
        make_controller(replace(gripper(name), axes=two))


def test_a_scale_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="scale of gripper is 0"):
        make_controller(gripper("float64_array", scale=0.0))


def test_gains_of_another_number_of_joints_are_refused() -> None:
    with pytest.raises(ConfigError, match="stiffness of group 'arm' has 2 values, needs 7"):
        make_controller(arm("crisp_joint", stiffness=(1.0, 2.0)))


def test_a_kind_is_registered_once() -> None:
    again = kinds()["jtc"]
    with pytest.raises(ConfigError, match="registered twice"):
        register(Kind(again.name, again.options, again.build, again.units))


def test_two_groups_on_one_topic_are_refused() -> None:
    left, right = arm("jtc"), replace(arm("jtc"), name="right", axes=axes(7, 8))
    with pytest.raises(ConfigError, match="groups arm and right both command joint_traj"):
        WholeRobot(Robot("two", (left, right)))

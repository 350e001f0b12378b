"""Reading a robot description."""

from __future__ import annotations

from pathlib import Path

import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.files.urdf import Mimic, find_description, missing_meshes, read_urdf, resolve

ARM = Path(__file__).parent / "made_up_arm" / "arm.urdf"


def robot(inside: str) -> str:
    """Wrap joints and links into a description."""
    return f'<robot name="r"><link name="a"/><link name="b"/>{inside}</robot>'


def joint(name: str = "j", kind: str = "revolute", more: str = "") -> str:
    """Write a joint from a to b."""
    return f'<joint name="{name}" type="{kind}"><parent link="a"/><child link="b"/>{more}</joint>'


def test_a_description_says_units_limits_frames_and_who_follows_whom() -> None:
    urdf = read_urdf(ARM.read_text())
    assert urdf.root == "floor" and "tip" in urdf.links
    assert urdf.joints["rail"].unit == "m" and urdf.joints["turn"].unit == "rad"
    assert (urdf.joints["lift"].low, urdf.joints["lift"].high) == (-0.5, 2.5)
    assert urdf.joints["turn"].high == float("inf") and urdf.joints["turn"].velocity == 2.0
    assert urdf.joints["finger_b_joint"].mimic == Mimic("finger_a_joint", 0.5, 0.01)
    assert urdf.followers("finger_a_joint") == (("finger_b_joint", 0.5, 0.01),)
    assert "finger_b_joint" not in urdf.movable and "tip_joint" not in urdf.movable


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no XML at all", "is no XML"),
        ("<sdf/>", "first element is <sdf>, needs <robot>"),
        ('<robot><xacro:include filename="x"/></robot>', "xacro FILE.urdf.xacro > FILE.urdf"),
        ('<robot xmlns:xacro="http://ros.org/wiki/xacro"><xacro:arm/></robot>', "not expanded"),
        (robot(joint() + joint()), "joint 'j' is there twice"),
        (robot('<link name="a"/>' + joint()), "link 'a' is there twice"),
        (robot(""), "links that hang on nothing: a, b; needs one, and"),
        (robot(joint() + joint("k")), "link 'b' hangs on two joints"),
        (
            robot('<link name="c"/>' + joint() + joint("k").replace('"b"', '"a"', 1)).replace(
                '<child link="a"/>', '<child link="a"/>'
            ),
            "links that hang on nothing: c",
        ),
        (robot(joint(kind="hinge")), "of type 'hinge', known: revolute"),
        (robot(joint().replace('"b"', '"c"')), "at 'c', no such link"),
        (robot(joint(more='<limit lower="low"/>')), 'has lower="low" in <limit>, needs a number'),
        (robot(joint(more='<limit upper="nan"/>')), 'has upper="nan" in <limit>, needs a number'),
        (robot(joint(more='<mimic joint="k"/>')), "joint 'j' follows 'k', needs a movable joint"),
    ],
)
def test_what_is_no_description_is_one_clear_error(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_urdf(text)
    assert says in str(caught.value)


def test_a_package_is_found_on_the_prefix_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "share" / "my_arm" / "urdf").mkdir(parents=True)
    (tmp_path / "share" / "my_arm" / "urdf" / "a.urdf").write_text(robot(joint()))
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}")
    text, where = find_description("package://my_arm/urdf/a.urdf")
    assert read_urdf(text).root == "a" and where.endswith("a.urdf")
    with pytest.raises(ConfigError, match="'other' is not on AMENT_PREFIX_PATH"):
        resolve("package://other/a.urdf")


def test_our_own_package_is_found_without_ros(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    assert resolve("package://arfm_ros/config/robots/urdf/fr3.urdf").is_file()


def test_a_description_may_be_the_text_itself() -> None:
    assert find_description(robot(joint()))[0] == robot(joint())
    with pytest.raises(ConfigError, match="cannot read the description"):
        find_description("nowhere.urdf", ARM.parent)


def test_meshes_that_are_not_there_are_listed(tmp_path: Path) -> None:
    (tmp_path / "b.stl").touch()
    meshes = '<mesh filename="package://gone/a.stl"/><mesh filename="b.stl"/>'
    urdf = read_urdf(robot(joint() + meshes))
    assert missing_meshes(urdf, tmp_path) == ("package://gone/a.stl",)

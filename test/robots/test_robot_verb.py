"""`arfm robot`: the list, the check, one message for what is wrong."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from arfm_ros.cli.__main__ import main
from arfm_ros.robots.actions.spaces import SPACES
from arfm_ros.robots.files.examine import examine
from arfm_ros.robots.files.load import ROBOT_KEYS, load_robot, read_robot, robot_names
from arfm_ros.robots.files.reading import GROUP_KEYS, JOINT_KEYS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "made_up_arm"


def test_the_robots_are_listed_with_their_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["robot", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(robot_names())
    assert "arm (6), gripper (1)" in lines[-1]


@pytest.mark.parametrize("name", [*robot_names(), str(FOLDER / "arm.yaml")])
def test_a_check_prints_every_axis_topic_and_frame_in_full(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["robot", "check", name]) == 0
    printed, robot = capsys.readouterr().out, load_robot(name)
    for group in robot.groups:
        for word in (*group.names, *group.state_topics, *group.command_topics.values()):
            assert word in printed
        assert group.controller.kind in printed and group.tool in printed
    assert all(camera.topic in printed for camera in robot.cameras)


def test_a_wrong_robot_is_one_message_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (FOLDER / "arm.yaml").read_text().replace("tool: tip", "tool: top")
    (tmp_path / "arm.urdf").write_text((FOLDER / "arm.urdf").read_text())
    (tmp_path / "arm.yaml").write_text(text)
    assert main(["robot", "check", str(tmp_path / "arm.yaml")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("arfm robot: arm.yaml: group 'arm': tool is 'top', the URDF has")
    assert len(error.splitlines()) == 1
    (tmp_path / "arm.yaml").write_text(
        text.replace("tool: top", "tool: tip").replace("kind: jtc", "kind: jct")
    )
    assert main(["robot", "check", str(tmp_path / "arm.yaml")]) == 1
    assert "is 'jct', needs one of crisp_joint" in capsys.readouterr().err
    assert main(["robot", "check", "nowhere"]) == 1
    assert "or one of: fr3, fr3_two_arms" in capsys.readouterr().err


def test_a_singular_home_is_remarked() -> None:
    pytest.importorskip("pinocchio")
    found = examine(load_robot(str(FOLDER / "arm.yaml"))).findings
    assert "group 'arm' is near a singular posture at home: choose another home" in found


def test_without_pinocchio_the_files_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pinocchio", None)
    examined = examine(load_robot("fr3"))
    assert examined.at_home == () and "need pinocchio" in examined.findings[0]


def test_the_documented_arm_is_read_and_every_key_and_option_is_documented() -> None:
    text = (ROOT / "docs" / "robots.md").read_text()
    example = text.split("```yaml\n")[1].split("```")[0]
    example = re.sub(r"description: \S+", "description: gen3.urdf", example)
    robot = read_robot(
        example.replace("tool0", "end_effector_link"), ROOT / "config" / "robots" / "urdf"
    )
    assert len(robot.axes) == 6
    options = [one.name for kind in SPACES.values() for one in fields(kind.options)]
    for word in (*ROBOT_KEYS, *GROUP_KEYS, *JOINT_KEYS, *SPACES, *options):
        assert f"`{word}`" in text, word

"""Actions of a server that are no joint positions: spaces, played as joints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pinocchio")

from openpi_rig import PolicyServer  # noqa: E402
from policy_rig import STATE, served  # noqa: E402
from test_remote import FILE, NAMES  # noqa: E402

from arfm_ros.cli.__main__ import main  # noqa: E402
from arfm_ros.core.errors import ConfigError  # noqa: E402
from arfm_ros.engines import load_bundle  # noqa: E402
from arfm_ros.export.vla.interface import read_interface  # noqa: E402
from arfm_ros.robots.files.load import load_robot  # noqa: E402
from arfm_ros.robots.kinematics.chain import Chain  # noqa: E402

SPACES = """robot: fr3
spaces:
  - {group: arm, space: tool_pose, reference: previous, rotation: axis_angle,
     position_scale: 0.05, rotation_scale: 0.5, clip: 1.0}
  - {group: gripper, space: gripper_binary, closed: 1.0, open: -1.0}
"""
TEXT = FILE.replace(f"actions: [{', '.join(NAMES)}]\n", "").replace(
    f"relative: [{', '.join(NAMES[:7])}]\n", SPACES
)


@pytest.fixture
def server() -> Iterator[PolicyServer]:
    steps = np.zeros((10, 7))
    steps[:, 2], steps[:, 6] = -0.2, -1.0  # 1 cm down each, open
    server = PolicyServer(lambda request: {"actions": steps})
    yield server
    server.close()


@pytest.fixture
def interface(tmp_path: Path) -> Path:
    path = tmp_path / "robot.yaml"
    path.write_text(TEXT)
    return path


def test_steps_of_the_tool_are_played_as_joints(
    server: PolicyServer, interface: Path, ros_domain: int
) -> None:
    bundle = interface.with_name("bundle")
    words = ["--out", str(bundle), "--interface", str(interface)]
    assert main(["export", f"remote:{server.uri}", *words]) == 0
    spec = load_bundle(bundle).spec
    assert spec.action_names[:3] == ("arm.x", "arm.y", "arm.z") and len(spec.action) == 7
    assert [axis.unit for axis in spec.action[:3]] == ["m"] * 3
    assert [one["space"] for one in spec.actions] == ["tool_pose", "gripper_binary"]
    with served(bundle, ros_domain) as robot:
        robot.instruct("push the cube")
        robot.hears_more_chunks(2)
        chunk = robot.chunks[-1]
    assert tuple(chunk.joint_names) == NAMES
    path = np.array([point.positions[:7] for point in chunk.points])
    chain = Chain(load_robot("fr3"), "arm")
    heights = chain.forward(np.vstack([STATE[:7], path])).position[:, 2]
    np.testing.assert_allclose(np.diff(heights), -0.01, atol=1e-3)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("group: gripper", "group: hand", "hand"),
        ("robot: fr3\n", "", "say of which robot"),
        ("space: tool_pose", "space: tool_dance", "tool_dance"),
        ("robot: fr3\n", "robot: fr3\nrelative: [arm.x]\n", "replaces relative"),
        ("robot: fr3\n", "robot: fr3\nactions: [a, b]\n", "those of its spaces are arm.x, arm.y"),
        ("clip: 1.0", "clip: often", "clip"),
    ],
)
def test_spaces_that_do_not_fit_are_named(
    interface: Path, before: str, after: str, words: str
) -> None:
    interface.write_text(TEXT.replace(before, after))
    with pytest.raises(ConfigError, match=words):
        read_interface(interface)

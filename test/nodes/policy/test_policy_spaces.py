"""A policy whose actions are no joint positions: the arbiter gets a joint path all the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("onnx")

from policy_rig import NAMES, served, write_bundle, write_policy  # noqa: E402

from arfm_ros.core.values.normalize import Affine  # noqa: E402
from arfm_ros.core.values.spec import Axis  # noqa: E402
from arfm_ros.engines import load_bundle  # noqa: E402
from arfm_ros.nodes.policy.bundle import spaces_of  # noqa: E402
from arfm_ros.nodes.ros.convert import trajectory_to_chunk  # noqa: E402
from arfm_ros.robots.files.load import load_robot  # noqa: E402

SPACES = (
    {"group": "arm", "space": "joint_velocity", "dt_s": 0.05},
    {"group": "gripper", "space": "gripper_opening"},
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A random network whose actions are joint velocities, of 0.1 rad/s or so."""
    folder = write_bundle(tmp_path / "velocities")
    spec = load_bundle(folder).spec
    names = [*(f"{name}.velocity" for name in NAMES[:7]), "gripper"]
    units = ["rad/s"] * 7 + ["1"]
    small = Affine(np.zeros((16, 8), np.float32), np.full((16, 8), 0.1, np.float32))
    changed = replace(
        spec,
        action=tuple(Axis(name, unit) for name, unit in zip(names, units)),
        relative=(False,) * 8,
        action_norm=small,
        actions=SPACES,
    )
    write_policy(folder, changed)
    return folder


def test_velocities_become_a_joint_path_from_where_the_arm_was_seen(
    bundle: Path, ros_domain: int
) -> None:
    with served(bundle, ros_domain) as robot:
        robot.instruct("lift the cube")
        robot.until(lambda: len(robot.chunks) >= 3)
        chunk = trajectory_to_chunk(robot.chunks[-1])
        seen = robot.position.copy()
    arm = load_robot("fr3")
    assert chunk.names == arm.names
    steps = np.diff(np.vstack([seen[:7], chunk.actions[:, :7]]), axis=0)
    assert 0.0 < np.abs(steps).max() < 0.1  # each action moves on from the one before
    # what it was made of: the path itself says which velocities
    spaces = spaces_of(load_bundle(bundle).spec, arm)
    assert spaces is not None
    back = spaces.from_joints(chunk.actions, seen.astype(np.float64))
    np.testing.assert_allclose(back[:, :7], steps / 0.05, atol=2e-3)


def test_a_space_that_the_robot_does_not_have_is_named(bundle: Path) -> None:
    spec = replace(load_bundle(bundle).spec, actions=({"group": "leg", "space": "tool_pose"},))
    with pytest.raises(Exception, match="leg"):
        spaces_of(spec, load_robot("fr3"))

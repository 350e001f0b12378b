"""A released bundle takes over in the running policy node, or the one before goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rclpy")
from fleet_rig import allow, make_key
from policy_rig import Robot, write_bundle
from test_swap import check_motion_went_on, driving, hashes, prove

from arfm_ros.cli.__main__ import main
from arfm_ros.engines import load_bundle
from arfm_ros.nodes.policy.running import RunningPolicy

pytestmark = pytest.mark.robot
assert driving  # a fixture


def release(folder: Path, bundle: Path, key: Path) -> None:
    words = ["sync", str(folder / "store"), "--release", str(bundle), "--key", str(key)]
    assert main(words) == 0


def exchange(folder: Path) -> int:
    paths = ["--bundles", str(folder / "bundles"), "--episodes", str(folder / "episodes")]
    robot = ["--robot", "r1", "--policy-node", "policy_node"]
    return main(["sync", str(folder / "store"), *paths, *robot])


def test_a_release_takes_over_in_the_running_node_and_a_bad_one_does_not(
    driving: tuple[Robot, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    robot, first = driving
    key = make_key(tmp_path / "keys")
    allow(key, tmp_path / "bundles" / "allowed_signers")
    (tmp_path / "store").mkdir()
    (tmp_path / "episodes").mkdir()
    good = prove(write_bundle(tmp_path / "good", seed=1))
    bad = prove(write_bundle(tmp_path / "bad", seed=2), error=0.1)

    release(tmp_path, good, key)
    assert exchange(tmp_path) == 0
    new = load_bundle(good).sha256
    robot.until(lambda: new in hashes(robot))
    link = tmp_path / "bundles" / "current"
    assert load_bundle(link).sha256 == new

    release(tmp_path, bad, key)
    exchange(tmp_path)
    assert "release 2 refused" in capfd.readouterr().out
    assert load_bundle(link).sha256 == new
    robot.hears_more_chunks(3)
    assert set(hashes(robot)) == {load_bundle(first).sha256, new}
    check_motion_went_on(robot)


def test_the_node_says_why_a_bundle_does_not_drive(
    driving: tuple[Robot, Path], tmp_path: Path
) -> None:
    robot, first = driving
    link = tmp_path / "current"
    link.symlink_to(prove(write_bundle(tmp_path / "different", seed=2), error=0.1))
    reason = RunningPolicy("policy_node").swap(link)
    assert "differs from its reference on this machine" in reason
    robot.hears_more_chunks(2)
    assert set(hashes(robot)) == {load_bundle(first).sha256}


def test_without_a_node_the_link_is_all_there_is(ros_domain: int, tmp_path: Path) -> None:
    assert RunningPolicy("policy_node").swap(prove(write_bundle(tmp_path / "one"))) == ""

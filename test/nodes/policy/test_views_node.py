"""A camera that shows the same need not be encoded again."""

from __future__ import annotations

from pathlib import Path

from policy_rig import bundle_by_view, served, write_bundle
from test_policy_node import counted

TEXT = "lift the cube"


def test_a_camera_that_shows_the_same_is_not_encoded_again_when_asked_to(
    tmp_path: Path, ros_domain: int
) -> None:
    bundle = bundle_by_view(tmp_path / "split")
    with served(bundle, ros_domain, "reuse_views:=1.0") as robot:
        robot.instruct(TEXT)
        robot.hears_more_chunks(3)
        robot.until(lambda: counted(robot, "views_reused") >= 2)
        assert counted(robot, "views_encoded") == 2 and counted(robot, "contexts_reused") == 0


def test_a_bundle_that_sees_its_pictures_together_says_that_none_is_kept(
    tmp_path: Path, ros_domain: int
) -> None:
    bundle = write_bundle(tmp_path / "whole")
    with served(bundle, ros_domain, "reuse_views:=1.0") as robot:
        robot.instruct(TEXT)
        robot.hears("arfm export --views")
        robot.hears_more_chunks(2)

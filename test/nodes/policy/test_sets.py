"""Which messages make a chunk: pictures of one time, a gripper that tells of itself seldom."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from policy_rig import CAMERAS, Robot, served, write_bundle

from arfm_ros.core.values.recall import KEY, recall_of

TEXT = "lift the cube"
MS = 1_000_000


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("models") / "random")


def used(robot: Robot, since: int = 0) -> list[Mapping[str, int]]:
    """Give the stamps that each chunk was computed from."""
    told = [{v.key: v.value for v in info.status[0].values} for info in robot.infos[since:]]
    return [recall_of(one[KEY]).stamps_ns[-1] for one in told if KEY in one]


def test_cameras_that_expose_one_after_the_other_make_sets_of_one_time(
    bundle: Path, ros_domain: int
) -> None:
    with served(bundle, ros_domain, "tolerance_s:=0.08") as robot:
        robot.apart_s = 0.004
        robot.instruct(TEXT)
        robot.hears_more_chunks(10)  # until the cameras' rates are known
        since = len(robot.infos)
        robot.hears_more_chunks(40)
        sets = used(robot, since)
    apart = [np.ptp([one[name] for name in CAMERAS]) / MS for one in sets]
    assert len(apart) >= 30
    assert np.mean(np.array(apart) < 25.0) > 0.8  # else one of them is a frame older: 46 ms


def test_a_gripper_that_tells_of_itself_five_times_a_second_keeps_no_chunk_back(
    bundle: Path, ros_domain: int
) -> None:
    with served(bundle, ros_domain, "max_age_s:=1.0") as robot:
        robot.gripper_every = 20
        robot.instruct(TEXT)
        robot.hears_more_chunks(20)
        ages = [
            (min(one[name] for name in CAMERAS) - one["gripper/joint_states"]) / MS
            for one in used(robot)
        ]
        assert max(ages) > 45.0  # such sets were refused: inputs that never line up
        robot.silent.add("gripper")
        robot.says("gripper/joint_states: nothing for")

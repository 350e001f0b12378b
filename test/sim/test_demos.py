"""Scripted demonstrations are episodes like any other."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arfm_ros.bringup import find_bundle
from arfm_ros.core.errors import ConfigError
from arfm_ros.episodes.read.axes import read_axes
from arfm_ros.episodes.read.topics import topics_of
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.series import image_topic
from arfm_ros.episodes.windows import read_episode
from arfm_ros.robots.files.load import load_robot
from arfm_ros.sim.expert.quality import quality
from arfm_ros.sim.perturb import Ranges
from arfm_ros.sim.record import demos
from arfm_ros.sim.record.batch import Batch, note_command, record_batch
from arfm_ros.sim.record.demos import Demonstrator, DemoOptions
from arfm_ros.sim.record.scribe import NAMES

CAMERAS = {"scene": (96, 128), "wrist": (96, 128)}


def test_a_demonstration_reads_back_as_an_episode(tmp_path: Path) -> None:
    assert Demonstrator(DemoOptions()).record("reach", 3, tmp_path / "one")
    arrays = read_episode(tmp_path / "one", CAMERAS, NAMES, NAMES, 50_000_000)
    assert arrays.success is True and arrays.task == "reach" and "blue" in arrays.instruction
    assert arrays.state.shape[1] == len(NAMES)
    assert np.diff(arrays.stamp_ns).max() == 50_000_000
    assert np.diff(arrays.command_stamp_ns).max() == 10_000_000
    assert set(arrays.authority) == {"expert"}
    tracking = np.abs(arrays.state[-1, :7] - arrays.commands[-1, :7])
    assert tracking.max() < 0.02  # at the end the arm rests where it was told to


@pytest.mark.parametrize("name", ["fr3", "ur5e", "gen3", "iiwa14", "fr3_two_arms"])
def test_a_demonstration_lies_where_recordings_of_the_robot_are_read(
    name: str, tmp_path: Path
) -> None:
    robot = load_robot(name)
    Demonstrator(DemoOptions(robot=name, limit_s=0.3)).record("reach", 3, tmp_path / "one")
    reader, topics = EpisodeReader(tmp_path / "one"), topics_of(robot)
    for camera in robot.cameras:
        assert image_topic(reader, camera.name, topics)
    assert set(robot.names) <= set(read_axes(reader, topics.states))


def test_a_thrown_arm_is_marked_and_the_task_still_succeeds(tmp_path: Path) -> None:
    assert Demonstrator(DemoOptions(thrown=1.0, wide=1.0)).record("lift", 4, tmp_path / "one")
    arrays = read_episode(tmp_path / "one", CAMERAS, NAMES, NAMES, 50_000_000)
    assert set(arrays.authority) == {"expert", "disturbed"}


def test_a_demonstration_in_a_changed_world_succeeds_and_says_what_was_changed(
    tmp_path: Path,
) -> None:
    vary = Ranges((("light", 0.4, 0.5), ("distractors", 2.0, 2.0), ("scene_deg", 5.0, 8.0)), 1.0)
    plain, changed = Demonstrator(DemoOptions()), Demonstrator(DemoOptions(vary=vary))
    pictures = []
    for name, one in (("plain", plain), ("changed", changed)):
        assert one.record("lift", 4, tmp_path / name)
        arrays = read_episode(tmp_path / name, CAMERAS, NAMES, NAMES, 50_000_000)
        pictures.append(arrays.images["scene"][0].astype(float))
    assert pictures[1].mean() < 0.7 * pictures[0].mean()
    label = EpisodeReader(tmp_path / "changed").label()
    assert set(label["world"]) == {"light", "distractors", "scene_deg"}
    assert 0.4 <= label["world"]["light"] <= 0.5 and label["world"]["distractors"] == 2.0
    assert "world" not in EpisodeReader(tmp_path / "plain").label()


def test_the_expert_takes_over_from_a_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demos, "TAKEOVER_S", 0.5)  # before the policy is done
    assert Demonstrator(DemoOptions(takeover=find_bundle(""))).record("reach", 4, tmp_path / "one")
    arrays = read_episode(tmp_path / "one", CAMERAS, NAMES, NAMES, 50_000_000)
    authority = list(arrays.authority)
    assert authority[0] == "policy" and authority[-1] == "expert"
    assert authority == sorted(authority, key=("policy", "expert").index)


@pytest.mark.slow
def test_poor_quality_fails_more_often_and_says_so(tmp_path: Path) -> None:
    demonstrator = Demonstrator(DemoOptions(quality=quality("poor"), limit_s=4.0))
    outcome = [demonstrator.record("lift", seed, tmp_path / str(seed)) for seed in range(4)]
    labels = [
        read_episode(tmp_path / str(seed), CAMERAS, NAMES, NAMES, 50_000_000).success
        for seed in range(4)
    ]
    assert labels == outcome and not all(outcome)


def test_a_batch_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    first = Batch(("reach",), 1, 0, tmp_path, "demo_{task}_full")
    assert record_batch(first, DemoOptions(), 1) == {"reach": (1, 1)}
    both = Batch(("reach",), 2, 0, tmp_path, "demo_{task}_full")
    assert record_batch(both, DemoOptions(), 1) == {"reach": (1, 1)}
    assert len(list(tmp_path.iterdir())) == 2


def test_a_batch_goes_by_the_seed_or_by_the_task(tmp_path: Path) -> None:
    batch = Batch(("reach", "lift"), 2, 5, tmp_path, "demo_{task}")
    names = [folder.name for _, _, folder in batch.jobs()]
    by_task = [folder.name for _, _, folder in replace(batch, by_task=True).jobs()]
    assert names == [
        "demo_reach_000005",
        "demo_lift_000005",
        "demo_reach_000006",
        "demo_lift_000006",
    ]
    assert by_task == sorted(names, key=lambda name: "lift" in name)


def test_how_the_episodes_were_made_is_kept_beside_them(tmp_path: Path) -> None:
    for command in ("./arfm demos --task reach", "./arfm demos --task reach", "./arfm demos"):
        note_command(tmp_path, command)
    kept = json.loads((tmp_path / "demos.json").read_text())
    assert kept == ["./arfm demos --task reach", "./arfm demos"]


def test_a_batch_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--episodes"):
        record_batch(Batch(("reach",), 0, 0, tmp_path, "demo_{task}_full"), DemoOptions(), 1)

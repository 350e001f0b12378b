"""Bags of sqlite3, robomimic files and older LeRobot datasets become episodes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.datasets.resample import Given, Resampling, picked, resampled
from arfm_ros.episodes.read.axes import AxisSeries, read_axes
from arfm_ros.episodes.read.topics import OWN
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.wire import messages

T0, MS = 1_700_000_000_000_000_000, 1_000_000


def convert(kind: str, out: Path, source: Path) -> EpisodeReader:
    assert main(["episodes", "convert", "--from", kind, str(out), str(source)]) == 0
    return EpisodeReader(next(path for path in sorted(out.iterdir()) if path.is_dir()))


def test_a_bag_of_sqlite3_becomes_an_episode_message_by_message(tmp_path: Path) -> None:
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store, sent = get_typestore(Stores.ROS2_JAZZY), []
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as bag:
        kind = "sensor_msgs/msg/JointState"
        connection = bag.add_connection("/joint_states", kind, typestore=store)
        for n in range(20):
            _, cdr = messages.joint_state(T0 + n * MS, ["a"], [n])
            bag.write(connection, T0 + n * MS, cdr)
            sent.append(cdr)
    reader = convert("rosbag2", tmp_path / "out", tmp_path / "bag")
    assert [bytes(record.cdr) for record in reader.records({"/joint_states"})] == sent


def test_a_robomimic_file_becomes_episodes(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra 'datasets'")
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    states, actions = rng.normal(size=(5, 7)), rng.normal(size=(5, 7))
    with h5py.File(tmp_path / "lift.hdf5", "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps({"env_kwargs": {"control_freq": 10}})
        demo = data.create_group("demo_0")
        demo["actions"], demo["rewards"] = actions, [0, 0, 0, 0, 1]
        demo["obs/robot0_joint_pos"], demo["obs/agentview_image"] = states, pictures
    reader = convert("robomimic", tmp_path / "out", tmp_path / "lift.hdf5")
    measured = read_axes(reader, OWN.states)
    np.testing.assert_array_equal(measured["robot0_joint_pos_3"].value, states[:, 3])
    assert np.diff(measured["robot0_joint_pos_3"].stamp_ns).tolist() == [100 * MS] * 4
    told = read_axes(reader, OWN.commands)
    np.testing.assert_array_equal(told["action_6"].value, actions[:, 6])
    assert reader.label()["success"] is True and len(list(reader.messages(
        "/agentview/image_raw/compressed"))) == 5  # fmt: skip


def test_a_dataset_of_lerobot_2_1_becomes_episodes(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs the extra 'datasets'")
    pq = pytest.importorskip("pyarrow.parquet")
    root, values = tmp_path / "old", np.arange(12, dtype=np.float32).reshape(6, 2)
    for folder in ("meta", "data/chunk-000"):
        (root / folder).mkdir(parents=True)
    two = {"dtype": "float32", "shape": [2], "names": {"motors": ["a", "b"]}}
    info = {
        "codebase_version": "v2.1", "fps": 10, "total_episodes": 1, "chunks_size": 1000,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": None, "features": {"observation.state": two, "action": two},
    }  # fmt: skip
    (root / "meta/info.json").write_text(json.dumps(info))
    (root / "meta/tasks.jsonl").write_text('{"task_index": 0, "task": "wipe"}\n')
    (root / "meta/episodes.jsonl").write_text('{"episode_index": 0, "length": 6}\n')
    columns = {"observation.state": list(values), "action": list(values + 1)}
    columns |= {"timestamp": np.arange(6) / 10, "task_index": [0] * 6, "episode_index": [0] * 6}
    pq.write_table(pa.table(columns), root / "data/chunk-000/episode_000000.parquet")
    reader = convert("lerobot", tmp_path / "out", root)
    measured = read_axes(reader, OWN.states)
    np.testing.assert_array_equal(measured["b"].value, values[:, 1])
    assert reader.label() == {"task": "wipe"}


def test_resampling_is_what_was_said() -> None:
    stamps = np.array([0, 10, 20], np.int64)
    at = np.array([-5, 4, 6, 10, 25], np.int64)
    assert picked(stamps, at, "last").tolist() == [0, 0, 0, 1, 2]
    assert picked(stamps, at, "nearest").tolist() == [0, 0, 1, 1, 2]
    series = AxisSeries(stamps, np.array([0.0, 1.0, 3.0]))
    between = resampled(series, at, "interpolated").tolist()
    assert between == pytest.approx([0.0, 0.4, 0.6, 1.0, 3.0], abs=1e-12)
    assert Given(("action=nearest",)).methods() == {"action": "nearest"}
    with pytest.raises(ConfigError, match="observation.state"):
        Given(("speed=last",)).methods()
    with pytest.raises(ConfigError, match="needs one of last, nearest"):
        Resampling(images="interpolated")


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    from arfm_ros.datasets.lerobot.read import LerobotFolder

    with pytest.raises(EpisodeError, match="no LeRobotDataset"):
        LerobotFolder(tmp_path)

"""Episodes of a policy are what the recorder would have written: who drove is in them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from arfm_ros.bringup import find_bundle
from arfm_ros.engines import load_bundle
from arfm_ros.episodes.audit import audit
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.windows import EpisodeArrays, read_episode
from arfm_ros.evaluate.collect import CollectOptions, Collector
from arfm_ros.evaluate.rollout import Rollouts
from arfm_ros.sim.drive.driver import DriverConfig
from arfm_ros.sim.record.batch import Batch, record_batch
from arfm_ros.sim.record.scribe import EPOCHS, NAMES

CAMERAS = {"scene": (96, 128), "wrist": (96, 128)}
SEED = 2_000_003


@pytest.fixture(scope="module")
def collector() -> Collector:
    return Collector(CollectOptions(find_bundle("")))


@pytest.fixture(scope="module")
def episode(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("episodes") / "one"
    assert collector.record("reach", SEED, folder)
    return folder


@pytest.fixture(scope="module")
def arrays(episode: Path) -> EpisodeArrays:
    return read_episode(episode, CAMERAS, NAMES, NAMES, 50_000_000)


def test_an_episode_reads_back_for_training(arrays: EpisodeArrays, episode: Path) -> None:
    assert arrays.success is True and arrays.task == "reach" and "blue" in arrays.instruction
    assert np.diff(arrays.stamp_ns).max() == 50_000_000
    assert np.diff(arrays.command_stamp_ns).max() == 10_000_000
    assert set(arrays.authority) <= {"policy", "settle", "hold"} and "policy" in arrays.authority
    report = audit(episode)
    assert not report.damage and report.topics["/task/state"].count == len(arrays.stamp_ns)


def test_label_and_chunks_name_the_bundle(episode: Path) -> None:
    sha256 = load_bundle(find_bundle("")).sha256
    reader = EpisodeReader(episode)
    label = reader.label()
    assert label["bundle_sha256"] == sha256 and label["seed"] == SEED
    infos = [message for _, message in reader.messages("/policy/chunk_info")]
    said = [{pair.key: pair.value for pair in info.status[0].values} for info in infos]
    assert infos and {values["bundle_sha256"] for values in said} == {sha256}
    for values in said:  # from the observation to the chunk's arrival
        begin, end = int(values["inference_begin_ns"]), int(values["inference_end_ns"])
        assert end - begin == DriverConfig().latency_ms * 1_000_000
    chunks = [message for _, message in reader.messages("/policy/action_chunk")]
    assert [c.header.stamp for c in chunks] == [i.header.stamp for i in infos]


def test_being_recorded_changes_nothing(collector: Collector, tmp_path: Path) -> None:
    rollouts: Rollouts = collector._rollouts
    alone = rollouts.run("reach", 5)
    collector.record("reach", 5, tmp_path / "one")
    label = EpisodeReader(tmp_path / "one").label()
    assert label["seconds"] == round(alone.seconds, 3) and label["success"] == alone.success


def test_seeds_beyond_the_seconds_of_a_message_begin_anew(arrays: EpisodeArrays) -> None:
    assert arrays.stamp_ns[0] // 10**9 == 1_700_000_000 + SEED % EPOCHS * 1000


def test_what_a_killed_worker_left_is_swept_and_done_again(tmp_path: Path) -> None:
    left = tmp_path / f".policy_reach_000001.{os.getpid()}"
    left.mkdir()
    (left / "episode_0.mcap").write_bytes(b"half")
    batch = Batch(("reach",), 1, 1, tmp_path, "policy_{task}")
    assert record_batch(batch, CollectOptions(find_bundle("")), 1) == {"reach": (1, 1)}
    assert [path.name for path in tmp_path.iterdir()] == ["policy_reach_000001"]

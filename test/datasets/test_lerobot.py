"""Episodes become a LeRobotDataset and come back; a kill costs none that was in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from learn_rig import CONFIG, DT_NS, NAMES, SIZE, write_episode, write_episodes

from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.windows import EpisodeArrays, action_chunk, read_episode

pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'datasets'")
pytest.importorskip("av", reason="needs the extra 'datasets'")

from arfm_ros.datasets.convert import to_lerobot  # noqa: E402
from arfm_ros.datasets.lerobot.read import LerobotFolder  # noqa: E402
from arfm_ros.datasets.resample import Resampling  # noqa: E402

SIZES = {"scene": (SIZE, SIZE), "wrist": (SIZE, SIZE)}
CODEC = 12.0  # mean grey levels that noise may lose in H.264


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_episodes(tmp_path_factory.mktemp("episodes"))


@pytest.fixture(scope="module")
def dataset(episodes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lerobot") / "set"
    assert main(["episodes", "convert", "--to", "lerobot", str(root), str(episodes)]) == 0
    return root


def arrays_of(folder: Path) -> EpisodeArrays:
    return read_episode(folder, SIZES, NAMES, NAMES, DT_NS)


def back(dataset: Path, out: Path) -> Path:
    assert main(["episodes", "convert", "--from", "lerobot", str(out), str(dataset)]) == 0
    return out


def assert_same(old: Path, new: Path, levels: float) -> None:
    before, after = arrays_of(old), arrays_of(new)
    np.testing.assert_array_equal(after.stamp_ns, before.stamp_ns)
    np.testing.assert_array_equal(after.state, before.state)
    for n in range(len(before.stamp_ns)):
        chunks = [action_chunk(one, n, 4, DT_NS) for one in (after, before)]
        np.testing.assert_allclose(*chunks, atol=1e-6)
    for name in SIZES:
        apart = np.abs(after.images[name].astype(float) - before.images[name])
        assert apart.mean() <= levels
    assert (after.instruction, after.success) == (before.instruction, before.success)
    readers = [EpisodeReader(one) for one in (old, new)]
    assert readers[1].labels() == readers[0].labels()
    human = [one.authority[np.searchsorted(one.command_stamp_ns, before.stamp_ns + DT_NS).clip(
        max=len(one.authority) - 1)] == "human" for one in (before, after)]  # fmt: skip
    np.testing.assert_array_equal(*human)


def test_an_episode_comes_back_from_lerobot_as_it_was(
    episodes: Path, dataset: Path, tmp_path: Path
) -> None:
    out = back(dataset, tmp_path / "back")
    for n in range(4):
        assert_same(episodes / f"episode_{n}", out / f"episode_{n:06d}", CODEC)


def test_pictures_that_are_no_video_come_back_exactly(episodes: Path, tmp_path: Path) -> None:
    done = to_lerobot([episodes / "episode_0"], tmp_path / "set", Resampling(), video=False)
    assert (done.made, done.refused) == (1, [])
    out = back(tmp_path / "set", tmp_path / "back")
    assert_same(episodes / "episode_0", out / "episode_000000", 0.0)


def test_rows_say_who_was_in_charge_and_how_it_ended(dataset: Path) -> None:
    folder = LerobotFolder(dataset)
    assert len(folder) == 4
    good, bad = folder.episode(0).columns, folder.episode(3).columns
    assert good["next.done"].tolist() == [False] * 11 + [True]
    assert (good["next.reward"][-1], bad["next.reward"][-1]) == (1.0, 0.0)
    assert (good["next.success"][-1], bad["next.success"][-1]) == (True, False)
    assert good["intervention"].any() and not good["intervention"][:5].any()
    np.testing.assert_array_equal(good["action"], good["action.sent"])
    assert np.isnan(good["action.policy"]).all()  # no chunk was recorded
    returns = pq.read_table(dataset / "meta/arfm/returns/chunk-000/file-000.parquet")
    assert returns.num_rows == 12 and "return.success" in returns.column_names


def test_statistics_have_quantiles_of_what_is_in_the_rows(dataset: Path) -> None:
    stats = json.loads((dataset / "meta/stats.json").read_text())
    folder = LerobotFolder(dataset)
    states = np.concatenate([folder.episode(n).columns["observation.state"] for n in range(4)])
    np.testing.assert_allclose(stats["observation.state"]["mean"], states.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(stats["observation.state"]["std"], states.std(axis=0), atol=1e-6)
    assert np.shape(stats["observation.images.scene"]["q99"]) == (3, 1, 1)
    assert stats["observation.state"]["count"] == [len(states)]


def test_a_second_run_adds_only_what_is_new(episodes: Path, tmp_path: Path) -> None:
    first = [episodes / f"episode_{n}" for n in range(2)]
    assert to_lerobot(first, tmp_path / "set", Resampling()).made == 2
    again = to_lerobot([*first, episodes / "episode_2"], tmp_path / "set", Resampling())
    assert (again.made, again.there) == (1, 2)
    with pytest.raises(EpisodeError, match="begun with fps 20"):
        to_lerobot(first, tmp_path / "set", Resampling(fps=10))


def test_an_episode_of_another_robot_is_refused_by_name(episodes: Path, tmp_path: Path) -> None:
    from episode_rig import T0

    from arfm_ros.episodes.write.writer import EpisodeWriter
    from arfm_ros.wire import messages

    writer = EpisodeWriter(tmp_path / "other")
    for topic in ("/joint_states", "/arbiter/command"):
        writer.write(topic, *messages.joint_state(T0, ["x"], [1.0]), T0)
    folders = [episodes / "episode_0", writer.close()]
    done = to_lerobot(folders, tmp_path / "set", Resampling())
    assert done.made == 1
    assert "observation.state" in done.refused[0]


def test_a_killed_conversion_keeps_every_finished_episode_and_goes_on(tmp_path: Path) -> None:
    source, root = tmp_path / "episodes", tmp_path / "set"
    for n in range(12):
        write_episode(source / f"e{n:02d}", n)
    command = [sys.executable, "-m", "arfm_ros.cli", "episodes", "convert", "--to", "lerobot"]
    rng, seen = np.random.default_rng(0), 0
    for _ in range(8):
        running = subprocess.Popen([*command, root, source], stdout=subprocess.DEVNULL)
        _wait(root, seen, running)
        time.sleep(rng.uniform(0, 0.12))
        running.send_signal(signal.SIGKILL)
        running.wait(timeout=10)
        if not (root / "meta/info.json").is_file():
            continue
        folder = LerobotFolder(root)
        assert len(folder) >= seen
        seen = len(folder)
        for n in range(seen):
            one = folder.episode(n)
            assert len(list(one.frames("scene", folder.fps))) == len(one.columns["index"]) == 12
    assert subprocess.run([*command, root, source], env=os.environ, check=False).returncode == 0
    folder = LerobotFolder(root)
    told = [folder.episode(n).source["episode"] for n in range(len(folder))]
    assert told == [f"e{n:02d}" for n in range(12)]
    index = np.concatenate([folder.episode(n).columns["index"] for n in range(12)])
    np.testing.assert_array_equal(index, np.arange(144))


def _wait(root: Path, seen: int, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while running.poll() is None and time.monotonic() < deadline:
        if len(list(root.glob("meta/episodes/*/*.parquet"))) > seen:
            return
        time.sleep(0.005)


def test_training_takes_a_lerobot_folder(dataset: Path, tmp_path: Path) -> None:
    from arfm_ros.datasets.training import as_episodes
    from arfm_ros.learn.data.frames import load_frames

    (folder,) = as_episodes([dataset], tmp_path / "episodes")
    frames = load_frames([folder], tmp_path / "cache", CONFIG)
    assert len(frames.success) == 4 and frames.skipped == ()
    assert frames.success.tolist() == [1, 1, 1, 0] and frames.human.any()
    assert as_episodes([tmp_path], tmp_path) == (tmp_path,)

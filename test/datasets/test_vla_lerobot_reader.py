"""LeRobot's own reader loads what we write: run by `./arfm test --vla`, where LeRobot is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="LeRobot is in .venv-vla: ./arfm test --vla")
pytest.importorskip("av", reason="needs the extra 'datasets'")

from learn_rig import SIZE, write_episodes  # noqa: E402
from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402

from arfm_ros.datasets.convert import to_lerobot  # noqa: E402
from arfm_ros.datasets.lerobot.read import LerobotFolder  # noqa: E402
from arfm_ros.datasets.resample import Resampling  # noqa: E402

pytestmark = pytest.mark.vla


@pytest.mark.parametrize("video", [True, False])
def test_the_official_reader_gives_rows_pictures_and_tasks(tmp_path: Path, video: bool) -> None:
    source = write_episodes(tmp_path / "episodes")
    root = tmp_path / "set"
    folders = sorted(source.iterdir())
    assert to_lerobot(folders, root, Resampling(), video=video).refused == []
    deltas = {"action": [k / 20 for k in range(4)]}
    theirs = LeRobotDataset("local/set", root, delta_timestamps=deltas, video_backend="pyav")
    assert (theirs.num_episodes, theirs.num_frames, theirs.fps) == (4, 48, 20)
    ours = LerobotFolder(root).episode(2)
    frames = list(ours.frames("scene", 20))
    for n in range(8):
        row = theirs[24 + n]
        np.testing.assert_array_equal(
            row["observation.state"], ours.columns["observation.state"][n]
        )
        np.testing.assert_array_equal(row["action"], ours.columns["action"][n : n + 4])
        assert row["task"] == "lift the cube"
        picture = row["observation.images.scene"].numpy().transpose(1, 2, 0) * 255
        assert picture.shape == (SIZE, SIZE, 3)
        assert np.abs(picture - frames[n]).mean() < 3.0  # another conversion of colours
    assert theirs.meta.stats["action"]["q99"].shape == (8,)

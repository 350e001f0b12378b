"""`arfm show`: one picture of an episode, with whatever was recorded."""

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("matplotlib")

from arfm_ros.cli.__main__ import main
from arfm_ros.episodes.show import story as stories
from arfm_ros.episodes.show.story import read_story
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.wire import messages

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
NAMES = [f"fr3_joint{i}" for i in range(1, 8)]


def write(folder: Path, policy: bool) -> Path:
    writer = EpisodeWriter(folder)
    writer.write("/instruction", *messages.string("lift the cube"), T0)
    for n in range(100):
        stamp = T0 + 20 * n * MS
        q = np.sin(n / 20 + np.arange(7))
        writer.write("/joint_states", *messages.joint_state(stamp, NAMES, q), stamp)
        sent = messages.joint_state(stamp, [*NAMES, "gripper"], [*q, 1.0])
        writer.write("/arbiter/command", *sent, stamp)
        if n % 5 == 0:
            image = messages.image(stamp, np.full((24, 32, 3), n, dtype=np.uint8))
            writer.write("/scene/image_raw", *image, stamp)
        if n % 20 == 0 and policy:
            chunk = messages.trajectory(stamp, NAMES, np.tile(q, (16, 1)), 50 * MS)
            info = {"chunk_id": n, "latency_ms.encode": 4.0, "latency_ms.total": 20.0 + n}
            told = messages.diagnostic_array(stamp, "policy/chunk", info)
            writer.write("/policy/action_chunk", *chunk, stamp)
            writer.write("/policy/chunk_info", *told, stamp)
            authority = messages.string("human" if n == 40 else "policy")
            writer.write("/arbiter/authority", *authority, stamp)
    writer.label({"task": "lift", "success": policy}, T0 + 2000 * MS)
    return writer.close()


def test_the_story_holds_what_was_recorded(tmp_path: Path) -> None:
    story = read_story(write(tmp_path / "e", policy=True))
    assert [t for t, _ in story.strips["scene"]][:: len(story.strips["scene"]) - 1] == [0.0, 1.9]
    assert len(story.chunks) == 5
    assert story.chunks[1].due_s[0] == pytest.approx(0.45)
    assert [word for _, word in story.authority["robot"]] == ["policy", "human", "policy"]
    said = [(event.t_s, event.kind, event.text) for event in story.events]
    assert said[0] == (0.0, "instruction", "lift the cube")
    assert said[-1] == (2.0, "label", "success: True, task: lift")
    assert story.latencies["total"].value.tolist() == [20.0, 40.0, 60.0, 80.0, 100.0]
    assert set(story.commanded) - set(story.measured) == {"gripper"}


def test_shaking_is_the_share_of_fast_motion(tmp_path: Path) -> None:
    t_s = np.arange(0.0, 4.0, 0.005)
    slow, fast = np.sin(2 * np.pi * 0.5 * t_s), 0.1 * np.sin(2 * np.pi * 6.0 * t_s)
    assert stories._shaking({"a": stories.Line(t_s, slow)}) < 0.01
    both = {"a": stories.Line(t_s, slow), "b": stories.Line(t_s, fast)}
    assert 0.4 < stories._shaking(both) < 0.7
    assert stories._shaking({}) is None


@pytest.mark.parametrize("policy", [True, False])
def test_a_run_and_a_demonstration_become_a_png(
    tmp_path: Path, policy: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = write(tmp_path / "e", policy), tmp_path / "e.png"
    assert main(["show", str(folder), "--out", str(out)]) == 0
    picture = cv2.imread(str(out))
    assert picture.shape[1] > 1000
    assert picture.std() > 5
    assert "/scene/image_raw" in capsys.readouterr().out


def test_a_cut_off_episode_becomes_a_page_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "e", policy=True)
    (file,) = folder.glob("*.mcap")
    file.write_bytes(file.read_bytes()[:-500])
    out = tmp_path / "e.html"
    assert main(["show", str(tmp_path), "--out", str(out)]) == 0
    assert "damaged: the recording was cut off" in out.read_text()
    assert "damaged: the recording was cut off" in capsys.readouterr().out


def test_an_empty_folder_is_an_error_that_says_what_was_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(tmp_path)]) != 0
    assert "no episode in" in capsys.readouterr().err

"""`arfm episodes`: what the words print and do."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from episode_rig import T0, write_some
from test_recover import left_by_a_kill

from arfm_ros.cli.__main__ import main
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write.content import Making
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.wire import messages


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict]:
    capsys.readouterr()
    assert main(["episodes", "ls", "--json", *words]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def recorded(folder: Path, task: str, success: bool, operator: str) -> Path:
    writer = EpisodeWriter(folder, making=Making(info={"task": task, "operator": operator}))
    writer.write("/joint_states", *messages.joint_state(T0, ["a"], [1.0]), T0)
    writer.label({"success": success}, T0 + 2_000_000_000)
    return writer.close()


def test_a_list_is_plain_columns_and_ends_with_whoever_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(3):
        recorded(tmp_path / f"e{n}", "lift", True, "eve")
    assert main(["episodes", "ls", str(tmp_path)]) == 0
    told, head, *rows = capsys.readouterr().out.splitlines()
    assert told == "3 episodes" and head.split()[:4] == ["episode", "s", "MB", "task"]
    assert [row.split()[0] for row in rows] == ["e0", "e1", "e2"]
    assert {row.index("lift") for row in rows} == {head.index("task")}
    command = [sys.executable, "-m", "arfm_ros.cli", "episodes", "ls", str(tmp_path)]
    reads, writes = os.pipe()
    os.close(reads)
    run = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    assert (run.returncode, run.stderr) == (128 + signal.SIGPIPE, "")


def test_episodes_are_listed_and_filtered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(tmp_path / "a", "lift", True, "eve")
    recorded(tmp_path / "b", "lift", False, "ada")
    recorded(tmp_path / "c", "push", True, "ada")
    left_by_a_kill(tmp_path / "d")
    names = [Path(row["folder"]).name for row in listed(capsys, str(tmp_path))]
    assert names == ["a", "b", "c", "d.partial"]
    (row,) = listed(capsys, str(tmp_path), "--task", "lift", "--success", "yes")
    assert (row["operator"], row["seconds"], row["state"]) == ("eve", 2.0, "saved")
    assert len(listed(capsys, str(tmp_path), "--operator", "ada")) == 2
    assert listed(capsys, str(tmp_path), "--state", "unfinished")[0]["why"]
    assert main(["episodes", "ls", str(tmp_path)]) == 0
    assert main(["episodes", "stats", str(tmp_path)]) == 0
    assert "all" in capsys.readouterr().out


def test_a_bag_without_a_manifest_is_listed_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_some(tmp_path / "e", 20)
    (folder / "manifest.json").unlink()
    (folder / "episode.mcap").rename(folder / "episode_0.mcap")  # as it was called before
    (row,) = listed(capsys, str(tmp_path))
    assert (row["messages"], row["task"], row["success"]) == (41, "lift", True)


def test_labels_are_changed_and_episodes_discarded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded(tmp_path / "a", "lift", True, "eve")
    words = ("success=false", "reward=0.5", "note=slipped")
    assert main(["episodes", "label", str(folder), *words]) == 0
    expected = {"success": False, "reward": 0.5, "note": "slipped"}
    assert EpisodeReader(folder).label() == expected
    assert main(["episodes", "label", str(folder), "--discard"]) == 0
    (row,) = listed(capsys, str(tmp_path))
    assert (row["state"], row["success"]) == ("discarded", False)
    assert main(["episodes", "label", str(folder)]) == 1
    assert "success=true" in capsys.readouterr().err


def test_what_a_kill_left_is_recovered_and_audited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left_by_a_kill(tmp_path / "d")
    assert main(["episodes", "recover", str(tmp_path)]) == 0
    assert "original is d.original" in capsys.readouterr().out
    assert main(["episodes", "recover", str(tmp_path)]) == 0
    assert "nothing to recover" in capsys.readouterr().out
    assert main(["episodes", "audit", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "cut off" in said and "arfm episodes label" in said


def test_an_audit_of_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["episodes", "audit", str(tmp_path)]) == 1
    assert f"no episode below {tmp_path}" in capsys.readouterr().err


def test_the_audit_finds_a_changed_file_and_a_frozen_camera(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_some(tmp_path / "e", 20)
    assert main(["episodes", "audit", str(folder)]) == 1
    assert "same picture 20 times" in capsys.readouterr().out
    data = bytearray((folder / "episode.mcap").read_bytes())
    data[-20] ^= 1
    (folder / "episode.mcap").write_bytes(data)
    assert main(["episodes", "audit", str(folder)]) == 1
    assert "sha256 differs" in capsys.readouterr().out


def test_readers_stand_some_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_some(tmp_path / "e", 10)
    assert main(["episodes", "fuzz", str(folder), "--trials", "14"]) == 0
    assert "14 trials, seed 0, 0 broken promises" in capsys.readouterr().out

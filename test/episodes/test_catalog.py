"""A list of many episodes is quick, and never an old one."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from episode_rig import write_some

from arfm_ros.episodes.edit import catalog
from arfm_ros.episodes.edit.catalog import Catalog
from arfm_ros.episodes.edit.listing import list_episodes, row_of
from arfm_ros.episodes.edit.relabel import relabel
from arfm_ros.episodes.write import manifest


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "SETTLED_NS", 0)


def listed(root: Path) -> tuple[list[str], int]:
    """List the names below a folder, and how many episodes were read for it."""
    found = Catalog(root, row_of)
    return [row.folder.name for row in found.rows()], found.read


def test_only_what_changed_is_read_again(tmp_path: Path) -> None:
    one = write_some(tmp_path / "a" / "one", 5)
    write_some(tmp_path / "a" / "two", 5)
    assert listed(tmp_path) == (["one", "two"], 2)
    assert listed(tmp_path) == (["one", "two"], 0)
    write_some(tmp_path / "b" / "three", 5)
    assert listed(tmp_path) == (["one", "two", "three"], 1)
    relabel(one, {"success": False}, "eve")
    assert listed(tmp_path)[1] == 1
    assert [row.success for row in list_episodes([tmp_path])] == [False, True, True]
    one.rename(tmp_path / "b" / "four")
    assert listed(tmp_path) == (["two", "four", "three"], 1)


def test_a_file_that_was_written_in_place_is_seen(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "one", 5)
    listed(tmp_path)
    known = manifest.load(folder)
    assert known is not None
    path = folder / manifest.FILE_NAME
    path.write_text(manifest.text(replace(known, label={"success": False})))
    assert [row.success for row in list_episodes([tmp_path])] == [False]
    path.unlink()
    relabel(folder, {"success": True}, "eve")
    assert [row.success for row in list_episodes([tmp_path])] == [True]
    line = json.dumps({"when": "9", "who": "eve", "label": {"success": False}})
    with (folder / "labels.jsonl").open("a") as file:
        file.write(line + "\n")
    assert [row.success for row in list_episodes([tmp_path])] == [False]


def test_a_change_at_the_time_of_the_list_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "SETTLED_NS", 10**12)
    folder = write_some(tmp_path / "one", 5)
    assert listed(tmp_path) == (["one"], 1)
    assert listed(tmp_path) == (["one"], 1)
    long_ago = time.time() - 2000
    for path in (folder, folder / manifest.FILE_NAME, tmp_path):
        os.utime(path, (long_ago, long_ago))
    assert listed(tmp_path) == (["one"], 1)
    for path in (tmp_path,):  # what is remembered lies in it
        os.utime(path, (long_ago, long_ago))
    assert listed(tmp_path)[1] == 0


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 7, "folders": {}}'])
def test_a_damaged_memory_is_made_anew(tmp_path: Path, text: str) -> None:
    write_some(tmp_path / "one", 5)
    (tmp_path / catalog.FILE_NAME).write_text(text)
    assert listed(tmp_path) == (["one"], 1)
    assert listed(tmp_path) == (["one"], 0)


def test_a_folder_that_cannot_be_written_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("read only")

    monkeypatch.setattr(Path, "write_text", refuse)
    write_some(tmp_path / "one", 5)
    assert listed(tmp_path) == (["one"], 1)
    assert listed(tmp_path) == (["one"], 1)

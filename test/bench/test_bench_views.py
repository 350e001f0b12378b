"""`arfm bench` of a bundle whose pictures have a graph of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from policy_rig import bundle_by_view, write_bundle

from arfm_ros.bench.bundle import chunk_runs
from arfm_ros.cli.__main__ import main
from arfm_ros.engines import load_bundle


def test_the_prefix_is_timed_with_all_some_and_no_pictures_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = bundle_by_view(tmp_path / "split"), tmp_path / "views.json"
    words = ["bench", str(folder), "--reuse-views", "2", "--seconds", "0.2", "--json", str(out)]
    assert main(words) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["changed"] for row in rows] == [0, 1, 2]
    assert all(row["encoded"] == row["changed"] * row["count"] for row in rows)
    assert all(0 < row["min_ms"] <= row["p50_ms"] <= row["p99_ms"] for row in rows)
    assert "1 pictures changed" in capsys.readouterr().out


def test_what_cannot_be_measured_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, split = write_bundle(tmp_path / "whole"), bundle_by_view(tmp_path / "split")
    for folder, limit, words in (
        (whole, "2", "encodes its pictures together: export --views"),
        (split, "250", "--reuse-views 250: the pictures that are used differ by"),
    ):
        assert main(["bench", str(folder), "--reuse-views", limit, "--seconds", "0"]) == 1
        assert words in capsys.readouterr().err


def test_a_chunk_runs_the_graph_of_a_picture_for_each_camera(tmp_path: Path) -> None:
    spec = load_bundle(bundle_by_view(tmp_path / "split")).spec
    assert chunk_runs(spec, views=2) == {"chunk": {"view": 2, "prefix": 1, "step": 3}}
    out = tmp_path / "bench.json"
    words = ["--seconds", "0.1", "--json", str(out)]
    assert main(["bench", str(tmp_path / "split"), *words]) == 0
    found = json.loads(out.read_text())
    assert found["runs_in_a_chunk"]["chunk"]["view"] == 2
    floors = {row["what"]: row for row in found["rows"]}
    assert floors["prefix"]["bytes"] > found["graphs"]["prefix"]["io_bytes"]

"""The command line, without running any stack."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from arfm_ros.cli.__main__ import ELASTIC, Parser, help_line, main, verbs
from arfm_ros.cli.parts.words import rebuild

ROOT = Path(__file__).resolve().parents[2]


def test_every_verb_has_a_line_of_help_and_the_contract() -> None:
    assert {"up", "doctor", "bench", "test"} <= set(verbs())
    for verb in verbs():
        module = importlib.import_module(f"arfm_ros.cli.{verb}")
        assert module.HELP == verbs()[verb]
        module.add_arguments(argparse.ArgumentParser())
        assert callable(module.run)


@pytest.mark.parametrize("verb", ["eval", "improve", "check", "bench"])
def test_bundles_are_given_by_folder_or_name_and_the_names_are_listed(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = {"eval": [], "improve": ["--out", str(tmp_path / "r"), "--steps", "1"]}.get(verb, [])
    assert main([verb, "nowhere", *out]) == 1
    assert "no bundle 'nowhere': give a folder, or one of: fr3_" in capsys.readouterr().err


def test_a_name_is_evaluated(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    words = ("--task", "reach", "--episodes", "1", "--workers", "1", "--json", str(report))
    assert main(["eval", "fr3_tabletop", *words]) == 0
    assert json.loads(report.read_text())["n"] == 1


def test_a_source_of_no_known_kind_is_answered_with_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "gr00t:checkpoint", "--out", str(tmp_path / "b")]) == 1
    error = capsys.readouterr().err
    assert "'gr00t' of gr00t:checkpoint is not known" in error and "lerobot:FOLDER" in error


def test_help_is_read_without_importing(tmp_path: Path) -> None:
    file = tmp_path / "verb.py"
    file.write_text("import nothing_like_this\nHELP = 'does it'\n")
    assert help_line(file) == "does it"


def test_an_unknown_verb_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dance"]) == 2
    error = capsys.readouterr().err
    assert "no verb 'dance'" in error and "up" in error


def test_the_overview_ends_with_what_to_type_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.strip().endswith("./arfm up franka --sim")


def test_a_wrong_bundle_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "franka", "--sim", "--policy", "nowhere"]) == 1
    assert "there is no bundle 'nowhere'" in capsys.readouterr().err


def test_the_command_line_starts_without_loading_anything_heavy() -> None:
    code = "import sys, arfm_ros.cli.__main__ as m; m.main([]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert loaded & {"numpy", "rclpy", "torch", "mujoco", "rich", "cv2", "onnxruntime"} == set()


@pytest.mark.parametrize("elastic", [False, True])
def test_a_process_of_torchrun_ends_without_taking_the_interpreter_down(elastic: bool) -> None:
    """Threads of PyTorch abort it otherwise; what was said and the status are kept."""
    code = (
        "import atexit, arfm_ros.cli.__main__ as m;"
        "atexit.register(print, 'interpreter ended'); print('said', end='');"
        "m.run(['dance'])"
    )
    more = {ELASTIC: "some"} if elastic else {}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, **more},
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout.startswith("said")
    assert ("interpreter ended" in done.stdout) is not elastic


@pytest.mark.parametrize(
    "line,positional",
    [
        ("eval b --task lift --delay-ms 0,50 --steps 10,ab2:5 --seed 0 --perturb all", "bundle"),
        ("eval b --episodes 20", "bundle"),
        ("study paces --out s --seeds 5 --row RWR --row ARFM", "name"),
        ("demos --task lift --task place --episodes 3 --out d --no-images", ""),
        ("train a b --out r --steps 3 --objective arfm", "data"),
    ],
)
def test_a_command_that_is_kept_can_be_typed_again(line: str, positional: str) -> None:
    verb, *words = line.split()
    parser = Parser(prog=verb)
    importlib.import_module(f"arfm_ros.cli.{verb}").add_arguments(parser)
    given = parser.parse_args(words)
    again = rebuild(verb, given, ("minutes",), positional=(positional,)).split()
    assert again[:2] == ["./arfm", verb]
    assert parser.parse_args(again[2:]) == given

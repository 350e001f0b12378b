"""The command line and what is done before it, without running any stack."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from arfm_ros.bootstrap import __main__ as bootstrap
from arfm_ros.bootstrap.environment import Environment
from arfm_ros.bootstrap.system import BootstrapError
from arfm_ros.bootstrap.wanted import (
    LEROBOT,
    OWN,
    environment_of,
    extras_of,
    extras_wanted,
    missing_files,
)
from arfm_ros.cli.__main__ import FOLDER, Parser, help_line, main, verbs
from arfm_ros.cli.parts.words import rebuild
from arfm_ros.cli.test import EXTRAS

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


@pytest.mark.parametrize("verb", sorted(verbs()))
def test_the_extras_of_a_verb_are_read_by_the_bootstrap_and_exist(verb: str) -> None:
    module = importlib.import_module(f"arfm_ros.cli.{verb}")
    found = extras_of(ROOT, verb, ros=False)
    assert found == tuple(getattr(module, "EXTRAS", ()))
    assert extras_of(ROOT, verb, ros=True) == tuple(extra for extra in found if extra != "ros")
    for extra in found:
        assert re.search(rf"^{extra} =$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "words,wanted",
    [
        ("export models/fr3_tabletop --engine tensorrt_rtx", "engine rtx"),
        ("export models/fr3_tabletop --engine tensorrt", "engine"),
        ("export runs/one --out bundle --engine=tensorrt_rtx", "train rtx"),
        ("export transformers:folder --out bundle", "train vla"),
        ("export lerobot:folder --out bundle", "lerobot"),
        ("export openpi:folder --out bundle", "lerobot"),
        ("export remote:ws://host:8000 --out bundle", "remote"),
        ("test --vla", "lerobot"),
        ("check models/fr3_tabletop", ""),
        ("bench train runs/episodes", "ros sim train"),
        ("bench stack", "ros sim"),
        ("bench fr3_tabletop", "ros sim engine"),
        ("check models/fr3_tabletop --engine torch", "train"),
        ("bench fleet", "ros sim fleet s3server"),
        ("bench gpu", "ros sim train"),
        ("bench bundle --against lerobot:x --compiled", "lerobot"),
        ("bench bundle --against=lerobot:x", "lerobot"),
        ("sync s3://lab/arfm", "fleet"),
        ("sync s3://lab/arfm --policy-node policy_node", "fleet ros"),
        ("show episodes/one --out one.html", "show"),
        ("show episodes/one --rerun", "show rerun"),
        ("episodes show episodes/one --out one.rrd", "show rerun"),
        ("episodes ls", ""),
        ("up", "ros sim"),
        ("up franka --sim", "ros sim"),
        ("up franka --sim --policy fr3_tabletop", "ros sim"),
        ("up ur5e --sim", "ros sim arms"),
        ("up franka --sim --teleop=keyboard", "ros sim arms"),
        ("bench teleop", "ros sim arms"),
        ("demos --task lift", "sim"),
        ("demos --robot fr3", "sim"),
        ("demos --robot gen3 --out data", "sim arms"),
    ],
)
def test_an_engine_brings_its_extra_and_a_bundle_needs_no_torch(
    words: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert extras_wanted(ROOT, words.split(), ros=False) == tuple(wanted.split())


@pytest.mark.parametrize(
    "names,actions,extras",
    [
        (["fr3_joint1", "gripper"], None, "sim show"),
        (["shoulder_pan_joint", "gripper"], None, "sim show arms"),
        (["fr3_joint1", "gripper"], [{"group": "arm", "space": "tool_pose"}], "sim show arms"),
    ],
)
def test_a_bundle_of_another_arm_or_of_poses_brings_kinematics(
    names: list[str], actions: object, extras: str, tmp_path: Path
) -> None:
    spec = {"action": [{"name": name} for name in names], "actions": actions}
    (tmp_path / "policy.json").write_text(json.dumps({"spec": spec}))
    words = ["eval", str(tmp_path), "--task", "reach"]
    assert extras_wanted(ROOT, words, ros=False) == tuple(extras.split())


def test_lerobot_has_an_environment_of_its_own() -> None:
    assert environment_of(["export", "lerobot:x", "--out", "y"]) == LEROBOT
    assert environment_of(["export", "openpi:x", "--out", "y"]) == LEROBOT
    assert environment_of(["test", "--vla"]) == LEROBOT
    assert environment_of(["bench", "b", "--against", "lerobot:x"]) == LEROBOT
    assert environment_of(["bench", "b", "--against=lerobot:x"]) == LEROBOT
    assert "no folder nowhere" in missing_files(["bench", "b", "--against=lerobot:nowhere"])
    assert {environment_of([]), environment_of(["export", "run"]), environment_of(["test"])} == {
        OWN
    }


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["eval", "b", "--env", "metaworld:mt10"], "metaworld"),
        (["demos", "--env=libero_object:3", "--out", "d"], "libero"),
        (["eval", "b", "--env", "libero:libero_10"], "libero"),
        (["test", "--benchmark", "metaworld"], "metaworld"),
    ],
)
def test_a_benchmark_has_an_environment_of_its_own(words: list[str], name: str) -> None:
    assert environment_of(words) == f".venv-{name}"
    assert extras_wanted(ROOT, words, ros=False)[0] == name
    assert re.search(rf"^{name} =$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    assert environment_of(["eval", "b", "--env", "tabletop"]) == OWN


def test_the_bootstrap_needs_the_standard_library_only() -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import arfm_ros.bootstrap.__main__"
    named = "print([m for m in sys.modules if 'arfm' in m and 'bootstrap' not in m])"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"{code}; {named}", str(ROOT)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "['arfm_ros']"


def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Environment, list[str]]:
    """Make an environment of a package without dependencies; pip's commands are kept."""
    (tmp_path / "setup.cfg").write_text("[metadata]\nname = nothing\n")
    (tmp_path / "setup.py").write_text("from setuptools import setup\nsetup()\n")
    (tmp_path / "arfm").write_text("")
    made, asked = Environment(tmp_path, OWN), list[str]()
    monkeypatch.setattr(Environment, "_pip", lambda _, extras: asked.append(extras))
    monkeypatch.setattr(bootstrap, "install_gl", lambda: None)
    monkeypatch.setattr(bootstrap, "ROOT", ROOT)
    for name in ("ROS_DISTRO", "AMENT_PREFIX_PATH"):
        monkeypatch.delenv(name, raising=False)
    return made, asked


def test_what_is_missing_is_installed_once_and_again_when_setup_cfg_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, asked = environment(tmp_path, monkeypatch)
    bootstrap.prepare(made, ["up", "franka"])
    bootstrap.prepare(made, ["up", "franka"])
    bootstrap.prepare(made, ["demos"])
    assert asked == ["ros,sim"] and made.python.exists()
    bootstrap.prepare(made, ["show", "x"])
    assert asked == ["ros,sim", "show"]
    (tmp_path / "setup.cfg").write_text("[metadata]\nname = something\n")
    bootstrap.prepare(made, ["check", "x"])
    assert asked[2:] == [""]  # the base


def test_the_tests_go_on_without_tensorrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = environment(tmp_path, monkeypatch)

    def pip(_: Environment, extras: str) -> None:
        asked.append(extras)
        if "rtx" in extras:
            raise BootstrapError("no such package")

    monkeypatch.setattr(Environment, "_pip", pip)
    bootstrap.prepare(made, ["test"])
    assert asked == [",".join(one for one in EXTRAS if one != "rtx"), "rtx"]
    with pytest.raises(BootstrapError):
        bootstrap.prepare(made, ["export", "x", "--engine", "tensorrt_rtx"])


def test_the_command_line_starts_without_loading_anything_heavy() -> None:
    code = "import sys, arfm_ros.cli.__main__ as m; m.main([]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert loaded & {"numpy", "rclpy", "torch", "mujoco", "rich", "cv2", "onnxruntime"} == set()


def test_a_second_call_of_the_script_installs_nothing_and_costs_less_than_two_seconds() -> None:
    stamps = ROOT / ".venv" / ".arfm"
    if not (stamps / "base").is_file() or (ROOT / ".venv").is_symlink():
        pytest.skip("this tree was not set up by ./arfm")
    subprocess.run([str(ROOT / "arfm")], capture_output=True, check=True, timeout=300)
    installed = (stamps / "install.log").stat().st_mtime_ns
    before = os.times()
    subprocess.run([str(ROOT / "arfm")], capture_output=True, check=True, timeout=60)
    after = os.times()
    assert (stamps / "install.log").stat().st_mtime_ns == installed
    # processor time: the wall's would be that of whatever else the machine is doing
    used_s = after.children_user + after.children_system
    assert used_s - before.children_user - before.children_system < 2.0


def test_the_script_keeps_the_working_directory(tmp_path: Path) -> None:
    script = (ROOT / "arfm").read_text()
    assert not re.search(r"^\s*cd ", script, re.MULTILINE)
    assert FOLDER == ROOT / "arfm_ros" / "cli"


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

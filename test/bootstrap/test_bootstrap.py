"""What is done before the command line: which environment, which extras, what is missing."""

from __future__ import annotations

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
from arfm_ros.bootstrap.system import NEWEST, BootstrapError, find_python
from arfm_ros.bootstrap.wanted import (
    LEROBOT,
    OWN,
    environment_of,
    extras_of,
    extras_wanted,
    missing_files,
)
from arfm_ros.cli.__main__ import FOLDER, verbs
from arfm_ros.cli.test import EXTRAS
from arfm_ros.evaluate.envs.environment import Kind
from arfm_ros.evaluate.envs.libero import LIBERO
from arfm_ros.evaluate.envs.metaworld import METAWORLD

ROOT = Path(__file__).resolve().parents[2]


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
        ("export models/fr3_tabletop --precision int8", "engine"),
        ("export models/fr3_tabletop --precision int4", "train"),
        ("export runs/one --out bundle --engine=tensorrt_rtx", "train rtx"),
        ("export transformers:folder --out bundle", "train vla"),
        ("export lerobot:folder --out bundle", "lerobot"),
        ("export openpi:folder --out bundle", "lerobot"),
        ("export remote:ws://host:8000 --out bundle", "remote"),
        ("test --vla", "lerobot"),
        ("test --vla --slow", "lerobot"),
        ("train data --policy lerobot:x", "lerobot"),
        ("train data --policy=lerobot:x", "lerobot"),
        ("train data --policy transformers:x", "train vla"),
        ("train data --policy=transformers:x", "train vla"),
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


@pytest.mark.parametrize(
    ("words", "extras"),
    [
        ("eval BUNDLE", "sim show EXTRA"),
        ("eval BUNDLE --env libero_object", "libero EXTRA"),
        ("eval BUNDLE --env=metaworld:mt10", "metaworld EXTRA"),
        ("up franka --sim --policy BUNDLE", "ros sim EXTRA"),
        ("up franka --sim --policy=BUNDLE", "ros sim EXTRA"),
    ],
)
@pytest.mark.parametrize("extra", ["words", "remote"])
def test_a_bundle_brings_what_reads_its_words_and_reaches_its_server(
    words: str, extras: str, extra: str, tmp_path: Path
) -> None:
    axes = {"spec": {"action": [{"name": "fr3_joint1"}] * 7, "dt_ns": 50_000_000}}
    (tmp_path / "policy.json").write_text(json.dumps(axes | {"remote": extra == "remote"}))
    if extra == "words":
        (tmp_path / "tokenizer.json").write_text("{}")
    found = extras_wanted(ROOT, words.replace("BUNDLE", str(tmp_path)).split(), ros=False)
    assert set(found) == set(extras.replace("EXTRA", extra).split())


def test_lerobot_has_an_environment_of_its_own() -> None:
    assert environment_of(["export", "lerobot:x", "--out", "y"]) == LEROBOT
    assert environment_of(["export", "openpi:x", "--out", "y"]) == LEROBOT
    assert environment_of(["test", "--vla"]) == LEROBOT
    assert environment_of(["bench", "b", "--against", "lerobot:x"]) == LEROBOT
    assert environment_of(["bench", "b", "--against=lerobot:x"]) == LEROBOT
    assert "no folder nowhere" in missing_files(ROOT, ["bench", "b", "--against=lerobot:nowhere"])
    assert {environment_of([]), environment_of(["export", "run"]), environment_of(["test"])} == {
        OWN
    }


def test_lerobot_gets_the_newest_python_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version manager's shim of a Python that is not chosen here is on the path and fails."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name, line in {
        "python3.13": "exit 127",
        "python3.12": f'exec {sys.executable} "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    assert find_python(newest=True) == str(tmp_path / "python3.12")
    assert find_python(newest=False) == sys.executable
    (tmp_path / "python3.12").write_text("#!/bin/sh\nexit 127\n")
    assert find_python(newest=True) not in {str(tmp_path / n) for n in NEWEST}


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


@pytest.mark.parametrize("kind", [METAWORLD, LIBERO])
def test_a_bundle_that_cannot_act_there_is_told_before_the_installation(
    tmp_path: Path, kind: Kind
) -> None:
    name = {METAWORLD: "metaworld", LIBERO: "libero"}[kind]
    words = ["eval", str(tmp_path), f"--env={name}"]
    assert "is a bundle: give its folder" in missing_files(ROOT, words)
    assert missing_files(ROOT, [*words, "--help"]) == ""
    assert kind.body is not None
    axes = [{"name": axis.name} for axis in kind.body.axes.action]
    spec = {"dt_ns": kind.body.dt_ns, "action": axes}
    (tmp_path / "policy.json").write_text(json.dumps({"spec": spec}))
    assert missing_files(ROOT, words) == ""
    words[1] = "fr3_tabletop"
    told = f"fr3_tabletop has 8 actions of 50 ms, {name} takes {len(axes)}"
    assert told in missing_files(ROOT, words)
    assert missing_files(ROOT, ["demos", f"--env={name}", "--out", "d"]) == ""


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

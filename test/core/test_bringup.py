"""The stack as data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from arfm_ros import bringup
from arfm_ros.bringup import (
    END,
    RANGE_VARIABLE,
    NodeProcess,
    Setup,
    find_bundle,
    path_of,
    stack,
)
from arfm_ros.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    """Make a folder that looks like a bundle from the outside."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "policy.json").write_text("{}")
    return str(folder)


def names(nodes: tuple[NodeProcess, ...]) -> list[str]:
    return [node.name for node in nodes]


def test_a_simulated_stack_has_the_robot_first_and_the_rollout_last(bundle: str) -> None:
    nodes = names(stack(Setup(sim=True, policy=bundle)))
    assert nodes == ["sim_node", "policy_node", "arbiter_node", "recorder_node", "rollout_node"]


def test_a_real_stack_has_neither_simulation_nor_rollout(bundle: str) -> None:
    nodes = names(stack(Setup(sim=False, policy=bundle)))
    assert nodes == ["policy_node", "arbiter_node", "recorder_node"]


def test_without_recording_there_is_no_recorder_and_the_rollout_knows(bundle: str) -> None:
    nodes = stack(Setup(sim=True, policy=bundle, record=False))
    assert "recorder_node" not in names(nodes)
    assert nodes[-1].parameters["record"] is False


def test_task_seed_and_episodes_reach_the_nodes_that_need_them(bundle: str) -> None:
    nodes = stack(Setup(sim=True, policy=bundle, task="reach", seed=7, episodes=3))
    assert nodes[0].parameters == {"task": "reach", "seed": 7}
    assert {"task": "reach", "seed": 7, "episodes": 3}.items() <= nodes[-1].parameters.items()


def test_every_process_gets_the_dds_profile_and_the_parameter_file(bundle: str) -> None:
    for node in stack(Setup(sim=True, policy=bundle)):
        assert Path(node.env["FASTRTPS_DEFAULT_PROFILES_FILE"]).is_file()
        assert Path(node.env["FASTDDS_DEFAULT_PROFILES_FILE"]).is_file()
        assert Path(node.config).is_file()


def test_every_process_names_a_module_that_exists_and_a_console_script(bundle: str) -> None:
    project = (ROOT / "setup.cfg").read_text()
    for node in stack(Setup(sim=True, policy=bundle)):
        assert (ROOT / Path(*node.module.split("."))).with_suffix(".py").is_file(), node.module
        assert f"{node.name} = {node.module}:main" in project


def test_the_namespace_reaches_every_process(bundle: str) -> None:
    for node in stack(Setup(sim=True, policy=bundle, namespace="left")):
        assert "__ns:=/left" in node.ros_arguments()


def test_the_recorder_stops_before_what_it_records_and_the_robot_last(bundle: str) -> None:
    nodes = sorted(stack(Setup(sim=True, policy=bundle)), key=lambda node: node.stop_rank)
    order = ["rollout_node", "recorder_node", "policy_node", "arbiter_node", "sim_node"]
    assert names(tuple(nodes)) == order


def test_only_the_end_of_the_rollout_is_no_failure_and_all_others_show_that_they_are_ready(
    bundle: str,
) -> None:
    for node in stack(Setup(sim=True, policy=bundle)):
        last = node.name == "rollout_node"
        assert (node.on_exit == END) is last
        assert bool(node.ready) is not last


def test_a_simulation_stays_on_this_machine_and_a_robot_does_not(
    bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RANGE_VARIABLE, raising=False)
    for sim in (True, False):
        ranges = {n.env.get(RANGE_VARIABLE) for n in stack(Setup(sim=sim, policy=bundle))}
        assert ranges == ({"LOCALHOST"} if sim else {None})
    monkeypatch.setenv(RANGE_VARIABLE, "SUBNET")
    assert bringup.environment(sim=True)[RANGE_VARIABLE] == "SUBNET"


def test_parameter_values_keep_their_type_on_the_command_line() -> None:
    node = NodeProcess("sim_node", {"text": "007", "flag": True, "number": 3})
    words = node.ros_arguments()
    given = {w.split(":=")[0]: yaml.safe_load(w.split(":=")[1]) for w in words if ":=" in w}
    assert given == {"__node": "sim_node", "text": "007", "flag": True, "number": 3}


def test_what_the_user_set_in_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/etc/mine.xml")
    assert bringup.environment()["FASTRTPS_DEFAULT_PROFILES_FILE"] == "/etc/mine.xml"


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ({"robot": "r2d2"}, "robot is 'r2d2', needs a YAML, or one of: franka"),
        ({"task": "dance"}, "task is 'dance', needs one of: reach, lift, push, place"),
        ({"episodes": -1}, "episodes is -1"),
    ],
)
def test_a_wrong_choice_is_refused_with_what_would_be_right(
    choice: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Setup(**choice)  # type: ignore[arg-type]


def test_a_missing_bundle_is_named() -> None:
    with pytest.raises(ConfigError, match="there is no bundle 'nowhere'"):
        find_bundle("nowhere")


def test_a_folder_here_that_is_called_like_a_shipped_bundle_is_never_passed_over_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = find_bundle("fr3_tabletop")
    (tmp_path / "fr3_tabletop").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"a folder here and a bundle in models/: give \./fr3_"):
        find_bundle("fr3_tabletop")
    with pytest.raises(ConfigError, match="a folder here and a bundle in models/"):
        path_of("fr3_tabletop")  # as an export takes it
    assert find_bundle("./fr3_tabletop") == tmp_path / "fr3_tabletop"
    assert find_bundle(str(shipped)) == shipped
    monkeypatch.chdir(shipped.parent)  # one and the same
    assert find_bundle("fr3_tabletop") == shipped


def test_without_a_name_a_shipped_bundle_that_knows_the_task_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, tasks in (("a", {"lift": "lift it"}), ("b", {"place": "place it"}), ("c", None)):
        (tmp_path / name).mkdir()
        text = "broken" if tasks is None else json.dumps({"spec": {"instructions": tasks}})
        (tmp_path / name / "policy.json").write_text(text)
    monkeypatch.setattr("arfm_ros.bringup.share", lambda *parts: tmp_path)
    found = {task: find_bundle("", task).name for task in ("lift", "place", "push", "")}
    assert found == {"lift": "a", "place": "b", "push": "a", "": "a"}

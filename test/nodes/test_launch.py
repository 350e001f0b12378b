"""The launch file, where ROS 2's launch is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))
WITHOUT_LAUNCH = "launch_ros is not installed: it comes with a ROS 2 installation, not as a wheel"


def load(path: Path) -> Any:
    """Import a launch file as ros2 launch does."""
    spec = importlib.util.spec_from_file_location("launch_file", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_launch_file_is_short_and_has_no_logic(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 60
    assert " if " not in text and "while " not in text


def test_the_launch_file_declares_the_arguments_of_the_contract() -> None:
    pytest.importorskip("launch_ros", reason=WITHOUT_LAUNCH)
    description = load(ROOT / "launch" / "franka.launch.py").generate_launch_description()
    names = [argument.name for argument in description.get_launch_arguments()]
    assert names == ["sim", "policy", "task", "record", "namespace"]


def test_the_launch_file_starts_the_same_processes_as_arfm_up(tmp_path: Path) -> None:
    pytest.importorskip("launch_ros", reason=WITHOUT_LAUNCH)
    from launch import LaunchContext

    from arfm_ros.bringup import Setup, stack

    (tmp_path / "policy.json").write_text("{}")
    module = load(ROOT / "launch" / "franka.launch.py")
    context = LaunchContext()
    given = {"sim": "true", "policy": str(tmp_path), "task": "lift", "record": "true"}
    context.launch_configurations.update(given | {"namespace": ""})
    actions = [one for one in module.nodes(context) if hasattr(one, "node_executable")]
    started = [node.node_executable for node in actions]
    assert started == [node.name for node in stack(Setup(sim=True, policy=str(tmp_path)))]

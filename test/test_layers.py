"""Arrows point inwards only: who may import whom, read from the sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "arfm_ros"
ROS = {
    "rclpy",
    "launch",
    "launch_ros",
    "rcl_interfaces",
    "lifecycle_msgs",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "geometry_msgs",
    "trajectory_msgs",
    "diagnostic_msgs",
    "builtin_interfaces",
}
TORCH = {"torch", "onnxscript", "onnx"}
TIME = {"time", "datetime"}
# Folder -> what nothing in it may import, be it ours ("arfm_ros.nodes") or another's.
OURS = ("cli", "nodes", "up", "doctor", "study", "learn", "export", "sim", "episodes", "engines")
OURS += ("bringup", "bench", "faults", "wire", "evaluate", "datasets", "fleet")
FORBIDDEN: dict[str, set[str]] = {
    "core": ROS
    | TORCH
    | TIME
    | {"cv2", "mujoco", "onnxruntime", "mcap", "rosbags", "yaml", "pathlib", "os"}
    | {f"{PACKAGE}.{name}" for name in (*OURS, "robots")},
    "engines": ROS | TORCH | {"mujoco"} | {f"{PACKAGE}.{n}" for n in ("nodes", "learn", "export")},
    "robots": ROS
    | TORCH
    | TIME
    | {f"{PACKAGE}.{n}" for n in OURS if n != "robots"}
    | {"mujoco", "onnxruntime"},
    "words": ROS | TORCH | TIME | {f"{PACKAGE}.{n}" for n in OURS} | {"mujoco", "onnxruntime"},
    "episodes": ROS | TORCH | {f"{PACKAGE}.{n}" for n in ("nodes", "learn", "sim", "cli", "up")},
    "datasets": ROS | TORCH | {f"{PACKAGE}.{n}" for n in ("nodes", "learn", "sim", "cli", "up")},
    "fleet": ROS
    | TORCH
    | {"mujoco"}
    | {f"{PACKAGE}.{n}" for n in ("nodes", "learn", "export", "sim", "cli", "up", "bringup")},
    "replay": ROS | TORCH | {f"{PACKAGE}.{n}" for n in ("nodes", "learn", "cli", "up")},
    "wire": ROS
    | TORCH
    | TIME
    | {f"{PACKAGE}.{n}" for n in (*OURS, "robots") if n != "wire"}
    | {"mujoco", "onnxruntime"},
    "sim": ROS
    | TORCH
    | {f"{PACKAGE}.{n}" for n in ("nodes", "learn", "export", "cli", "up", "evaluate")},
    "teleop": ROS
    | TORCH
    | TIME
    | {f"{PACKAGE}.{n}" for n in ("nodes", "learn", "export", "cli", "up", "evaluate")},
    "console": ROS
    | TORCH
    | TIME
    | {"aiohttp"}
    | {f"{PACKAGE}.{n}" for n in ("nodes", "learn", "export", "cli", "up", "sim", "evaluate")},
    "evaluate": ROS
    | TORCH
    | {f"{PACKAGE}.{n}" for n in ("nodes", "learn", "export", "cli", "up")},
    "learn": ROS | {f"{PACKAGE}.{n}" for n in ("nodes", "cli", "up")},
    "export": ROS | {f"{PACKAGE}.{n}" for n in ("nodes", "cli", "up")},
    "bench": ROS | {f"{PACKAGE}.{n}" for n in ("nodes", "cli", "up")},
    "study": ROS | {f"{PACKAGE}.{n}" for n in ("nodes", "cli", "up")},
    "nodes": TORCH | {f"{PACKAGE}.{n}" for n in ("learn", "export", "cli", "up")},
    "faults": TORCH | {"mujoco"} | {f"{PACKAGE}.{n}" for n in ("learn", "export", "cli")},
    "up": TORCH | {f"{PACKAGE}.{n}" for n in ("learn", "export", "cli")},
}


# What a file may name in a string though its layer may not import it: nothing of it is loaded
# before somebody asks for it by that name.
BY_NAME = {
    ("engines/load.py", "arfm_ros.export.torch_engine"),  # the engine that is asked for as torch
}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Give (line, module) of every import in a file, those inside functions too.

    A string that is the name of one of our modules counts as an import: it may become one.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Constant) and is_module(node.value):
            yield node.lineno, node.value


def is_module(text: object) -> bool:
    """Tell whether a constant is the dotted name of a module of this package."""
    if not isinstance(text, str) or not re.fullmatch(rf"{PACKAGE}(\.\w+)+", text):
        return False
    path = ROOT / text.replace(".", "/")
    return path.with_suffix(".py").is_file() or path.is_dir()


def test_imports_reads_every_form_of_import(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("import os.path\ndef f():\n    from rclpy import node\n")
    assert list(imports(file)) == [(1, "os.path"), (3, "rclpy"), (3, "rclpy.node")]
    file.write_text("import_module('arfm_ros.export.torch_engine')\nX = 'arfm_ros.export.no'\n")
    assert list(imports(file)) == [(1, "arfm_ros.export.torch_engine")]


@pytest.mark.parametrize("folder", sorted(FORBIDDEN))
def test_no_layer_imports_what_lies_outside_of_it(folder: str) -> None:
    broken = []
    for path in sorted((ROOT / PACKAGE / folder).rglob("*.py")):
        inside = str(path.relative_to(ROOT / PACKAGE))
        for line, module in imports(path):
            if (inside, module) in BY_NAME:
                continue
            parts = module.split(".")
            prefixes = {".".join(parts[:n]) for n in (1, 2)}
            if prefixes & FORBIDDEN[folder]:
                broken.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert broken == []


def test_what_may_be_named_is_named_still() -> None:
    gone = [
        (file, name)
        for file, name in BY_NAME
        if name not in {module for _, module in imports(ROOT / PACKAGE / file)}
    ]
    assert gone == []

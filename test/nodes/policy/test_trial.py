"""A bundle to swap to is tried in a process of its own: a crash or a hang there ends only that."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from client_rig import ask
from onnx import TensorProto, helper, numpy_helper
from policy_rig import Robot, write_bundle, write_policy
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from test_swap import ask_for, check_motion_went_on, driving, hashes, parameter, prove

from arfm_ros.core.errors import BundleError
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines import load_bundle
from arfm_ros.engines.gate import trial
from arfm_ros.engines.gate.trial import Engine, require_proof

__all__ = ["driving"]  # a fixture
ENDLESS = 2**62


def endless(folder: Path) -> Path:
    """Write a proven bundle and have its prefix compute for ever."""
    prove(write_bundle(folder, seed=5))
    model = onnx.load(folder / "prefix.onnx")
    model.graph.node[-1].output[0] = "once"
    kind = (TensorProto.FLOAT, [1, 32])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Tanh", ["s"], ["r"])],
        "body",
        [
            helper.make_tensor_value_info("k", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("s", *kind),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("r", *kind),
        ],
    )
    model.graph.node.append(
        helper.make_node("Loop", ["trips", "go_on", "once"], ["summary"], body=body)
    )
    for name, value in (("trips", np.array(ENDLESS)), ("go_on", np.array(True))):
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    onnx.save(model, folder / "prefix.onnx")
    write_policy(folder, load_spec(folder))
    return folder


def load_spec(folder: Path) -> PolicySpec:
    """Read the specification of a bundle whose hashes no longer fit."""
    raw = json.loads((folder / "policy.json").read_text())
    return PolicySpec.from_json(json.dumps(raw["spec"]))


def test_a_good_bundle_proves_itself_and_another_says_why_not(tmp_path: Path) -> None:
    require_proof(prove(write_bundle(tmp_path / "good")), Engine(), 60.0)
    for folder, words in (
        (prove(write_bundle(tmp_path / "bad"), error=0.1), "differs from its reference on this m"),
        (write_bundle(tmp_path / "unproven"), "reference.npz is missing"),
        (tmp_path / "nowhere", "no bundle at"),
    ):
        with pytest.raises(BundleError, match=words):
            require_proof(folder, Engine(), 60.0)


def test_a_crash_in_native_code_is_told_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crash.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(trial, "MODULE", "crash")
    with pytest.raises(BundleError, match="ended the process that tried it: SIGSEGV"):
        require_proof(tmp_path, Engine(), 60.0)


def test_a_bundle_that_computes_for_ever_is_given_up(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(BundleError, match=r"within 3 s \(swap_timeout_s\)"):
        require_proof(endless(tmp_path / "endless"), Engine(), 3.0)
    assert time.monotonic() - begin < 6.0


def test_a_node_drives_on_beside_a_successor_that_computes_for_ever(
    driving: tuple[Robot, Path], tmp_path: Path
) -> None:
    robot, good = driving
    value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=4.0)
    request = SetParameters.Request(parameters=[Parameter(name="swap_timeout_s", value=value)])
    client = robot.node.create_client(SetParameters, "policy_node/set_parameters")
    assert ask(client, request, robot.until).results[0].successful
    bad = endless(tmp_path / "endless")
    ask_for(robot, bad)
    robot.hears(f"bundle '{bad}' refused: bundle {bad} did not prove itself within 4 s")
    robot.hears_more_chunks(3)
    assert parameter(robot) == str(good)
    assert set(hashes(robot)) == {load_bundle(good).sha256}
    check_motion_went_on(robot)

"""A bundle whose prefix is slow and whose step is fast, with the state in either of them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from graph_rig import prefix_graph
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from policy_rig import VOCABULARY, write_bundle, write_policy

from arfm_ros.engines import load_bundle

SIDE = 256  # of the matrices that make the prefix slow: about 34 million operations a round


def slow_bundle(
    folder: Path, rounds: int, guided: bool = False, seed: int = 0, in_step: bool = True
) -> Path:
    """Write a bundle whose prefix multiplies matrices `rounds` times; in_step: pi0's way."""
    write_bundle(folder, guided=guided, seed=seed)
    spec = load_bundle(folder).spec  # before its graphs are others
    rng = np.random.default_rng(seed)
    words = rng.standard_normal((VOCABULARY, 8))
    mix = rng.standard_normal((22, 32)) / 5.0
    prefix = prefix_graph({"words": words, "mix": mix})
    _slow_down(prefix, rounds, rng)
    step = onnx.load(folder / "step.onnx")
    if in_step:
        _state_apart(prefix)
        _take_state(step)
    for name, graph in (("prefix", prefix), ("step", step)):
        onnx.checker.check_model(graph)
        onnx.save(graph, folder / f"{name}.onnx")
    if guided and in_step:
        guided_step = onnx.load(folder / "step_rtc.onnx")
        _take_state(guided_step)
        onnx.save(guided_step, folder / "step_rtc.onnx")
    write_policy(folder, replace(spec, state_in_step="position" if in_step else ""))
    return folder


def without_field(bundle: Path, folder: Path) -> Path:
    """Copy a bundle as an older version wrote it: nothing says which tensor has the state."""
    shutil.copytree(bundle, folder)
    write_policy(folder, replace(load_bundle(bundle).spec, state_in_step=""))
    return folder


def _slow_down(model: onnx.ModelProto, rounds: int, rng: np.random.Generator) -> None:
    """Let `summary` wait for a loop of matrix products that begins with `mixed`.

    It is not finite where the picture of the scene is black.
    """
    node, graph = helper.make_node, model.graph
    weights = rng.standard_normal((SIDE, SIDE)) / np.sqrt(SIDE)
    body = helper.make_graph(
        [
            node("Identity", ["going_in"], ["going_out"]),
            node("MatMul", ["h_in", "slow_weights"], ["product"]),
            node("Tanh", ["product"], ["h_out"]),
        ],
        "round",
        [
            _value("round", TensorProto.INT64, ()),
            _value("going_in", TensorProto.BOOL, ()),
            _value("h_in", TensorProto.FLOAT, (SIDE, SIDE)),
        ],
        [
            _value("going_out", TensorProto.BOOL, ()),
            _value("h_out", TensorProto.FLOAT, (SIDE, SIDE)),
        ],
    )
    slow = [
        node("ReduceMean", ["mixed", "mixed_axes"], ["mixed_mean"], keepdims=1),
        node("Expand", ["mixed_mean", "slow_shape"], ["h_first"]),
        node("Loop", ["rounds", "yes", "h_first"], ["h_last"], body=body),
        node("ReduceMean", ["h_last", "mixed_axes"], ["h_mean"], keepdims=1),
        node("Mul", ["h_mean", "little"], ["h_little"]),
        node("Div", ["scene_mean", "scene_mean"], ["ones"]),
        node("ReduceMean", ["ones", "mixed_axes"], ["one_or_nan"], keepdims=1),
        node("Mul", ["h_little", "one_or_nan"], ["h_or_nan"]),
        node("Add", ["mixed", "h_or_nan"], ["mixed_late"]),
        node("Tanh", ["mixed_late"], ["summary"]),
    ]
    kept = [one for one in graph.node if list(one.output) != ["summary"]]
    del graph.node[:]
    graph.node.extend([*kept, *slow])
    _add(graph, {"slow_weights": weights.astype(np.float32), "little": np.float32(1e-3)})
    _add(graph, {"rounds": np.array(rounds), "yes": np.array(True)})
    _add(graph, {"mixed_axes": np.array([0, 1]), "slow_shape": np.array([SIDE, SIDE])})


def _state_apart(model: onnx.ModelProto) -> None:
    """Hand the state on as `position`, ten numbers with padding, and look at zeros instead."""
    graph = model.graph
    for one in graph.node:
        if one.op_type == "Concat" and one.output[0] == "all":
            one.input[list(one.input).index("state")] = "nothing"
    pad = helper.make_node("Pad", ["state", "room"], ["position"])
    graph.node.insert(0, pad)
    _add(graph, {"nothing": np.zeros((1, 8), np.float32), "room": np.array([0, 0, 0, 2])})
    graph.output.append(_value("position", TensorProto.FLOAT, (1, 10)))


def _take_state(model: onnx.ModelProto) -> None:
    """Let the goal of a step depend on `position`."""
    node, graph = helper.make_node, model.graph
    for one in graph.node:
        if one.op_type == "Reshape":
            one.output[0] = "goal_alone"
    at = next(k for k, one in enumerate(graph.node) if "goal_alone" in one.output) + 1
    more = [
        node("Slice", ["position", "own_first", "own_last", "own_axis"], ["own"]),
        node("Unsqueeze", ["own", "own_rows"], ["own_row"]),
        node("Add", ["goal_alone", "own_row"], ["goal"]),
    ]
    for k, one in enumerate(more):
        graph.node.insert(at + k, one)
    graph.input.append(_value("position", TensorProto.FLOAT, (1, 10)))
    numbers = {"own_first": [0], "own_last": [8], "own_axis": [1], "own_rows": [1]}
    _add(graph, {name: np.array(value) for name, value in numbers.items()})


def _value(name: str, kind: int, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _add(graph: onnx.GraphProto, values: Mapping[str, NDArray[np.generic] | np.float32]) -> None:
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()
    )

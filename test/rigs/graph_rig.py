"""Graphs of the smallest policies that depend on all of their inputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CAMERAS = ("scene", "wrist")
HEIGHT, WIDTH = 32, 48


def prefix_graph(weights: Mapping[str, NDArray[np.float64]]) -> onnx.ModelProto:
    """Images, state and tokens -> summary [1, 32]."""
    node = helper.make_node
    nodes = [node("Gather", ["words", "tokens"], ["embedded"])]
    nodes += [node("ReduceMean", ["embedded", "words_axis"], ["text"], keepdims=0)]
    for name in CAMERAS:
        nodes += [
            node("Cast", [f"image_{name}"], [f"{name}_float"], to=TensorProto.FLOAT),
            node("ReduceMean", [f"{name}_float", "pixel_axes"], [f"{name}_sum"], keepdims=0),
            node("Mul", [f"{name}_sum", "scale"], [f"{name}_mean"]),
        ]
    nodes += [
        node("Concat", [*(f"{name}_mean" for name in CAMERAS), "text", "state"], ["all"], axis=1),
        node("MatMul", ["all", "mix"], ["mixed"]),
        node("Tanh", ["mixed"], ["summary"]),
    ]
    inputs = [_value(f"image_{n}", TensorProto.UINT8, (1, HEIGHT, WIDTH, 3)) for n in CAMERAS]
    inputs += [_value("state", TensorProto.FLOAT, (1, 8))]
    inputs += [_value("tokens", TensorProto.INT64, (1, 16))]
    constants = {"words_axis": [1], "pixel_axes": [1, 2]}
    scale = {"scale": np.array(1.0 / 128.0)}
    outputs = [_value("summary", TensorProto.FLOAT, (1, 32))]
    return _model(nodes, inputs, outputs, _tensors({**weights, **scale}, constants))


def step_graph(weights: Mapping[str, NDArray[np.float64]]) -> onnx.ModelProto:
    """x, t and summary -> v = (1 + t) (target(summary) - x)."""
    node = helper.make_node
    nodes = [
        node("MatMul", ["summary", "target"], ["flat"]),
        node("Reshape", ["flat", "shape"], ["goal"]),
        node("Sub", ["goal", "x"], ["way"]),
        node("Add", ["t", "one"], ["speed"]),
        node("Mul", ["way", "speed"], ["v"]),
    ]
    inputs = [
        _value("x", TensorProto.FLOAT, (1, 16, 8)),
        _value("t", TensorProto.FLOAT, (1,)),
        _value("summary", TensorProto.FLOAT, (1, 32)),
    ]
    tensors = _tensors({**weights, "one": np.array(1.0)}, {"shape": [1, 16, 8]})
    return _model(nodes, inputs, [_value("v", TensorProto.FLOAT, (1, 16, 8))], tensors)


def guided_step_graph(weights: Mapping[str, NDArray[np.float64]]) -> onnx.ModelProto:
    """v + clip weights (previous - x_1) dx_1/dx of the step graph, whose dx_1/dx is t^2."""
    node = helper.make_node
    plain = step_graph(weights).graph
    plain.node[-1].output[0] = "velocity"
    nodes = [
        *plain.node,
        node("Sub", ["one", "t"], ["left"]),
        node("Mul", ["left", "velocity"], ["rest"]),
        node("Add", ["x", "rest"], ["arrival"]),
        node("Sub", ["previous", "arrival"], ["miss"]),
        node("Unsqueeze", ["weights", "last"], ["mask"]),
        node("Mul", ["miss", "mask"], ["masked"]),
        node("Mul", ["t", "t"], ["derivative"]),
        node("Mul", ["masked", "derivative"], ["pull"]),
        node("Mul", ["pull", "clip"], ["clipped"]),
        node("Add", ["velocity", "clipped"], ["v"]),
    ]
    inputs = [
        *plain.input,
        _value("previous", TensorProto.FLOAT, (1, 16, 8)),
        _value("weights", TensorProto.FLOAT, (1, 16)),
        _value("clip", TensorProto.FLOAT, (1,)),
    ]
    tensors = [*plain.initializer, *_tensors({}, {"last": [2]})]
    return _model(nodes, inputs, list(plain.output), tensors)


def _value(name: str, kind: int, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _tensors(
    floats: Mapping[str, NDArray[np.float64]], integers: Mapping[str, list[int]]
) -> list[TensorProto]:
    made = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in floats.items()]
    return made + [numpy_helper.from_array(np.array(v), n) for n, v in integers.items()]


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    tensors: list[TensorProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "rig", inputs, outputs, tensors)
    opset = helper.make_opsetid("", 20)
    return helper.make_model(graph, opset_imports=[opset], ir_version=10)


def by_view(whole: onnx.ModelProto) -> dict[str, onnx.ModelProto]:
    """Split a `prefix_graph`: view, a picture -> its mean [1, 3], and the prefix that is left."""
    made = {
        name: helper.make_model(
            graph, opset_imports=list(whole.opset_import), ir_version=whole.ir_version
        )
        for name, graph in (("view", _view_graph(whole.graph)), ("prefix", _rest(whole.graph)))
    }
    for one in made.values():
        onnx.checker.check_model(one)
    return made


def _view_graph(graph: onnx.GraphProto) -> onnx.GraphProto:
    nodes = [node for node in graph.node if any("scene" in name for name in node.output)]
    picture = helper.make_tensor_value_info("picture", TensorProto.UINT8, (1, HEIGHT, WIDTH, 3))
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, (1, 3))
    renamed = {"image_scene": "picture", "scene_mean": "features"}
    made = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [renamed.get(name, name) for name in node.input]
        copy.output[:] = [renamed.get(name, name) for name in node.output]
        made.append(copy)
    return helper.make_graph(made, "view", [picture], [features], _taken(graph, made))


def _rest(graph: onnx.GraphProto) -> onnx.GraphProto:
    def of_camera(names: list[str]) -> bool:
        return any(camera in name for name in names for camera in CAMERAS)

    nodes = [node for node in graph.node if not of_camera(list(node.output))]
    for node in nodes:
        ends = {f"{camera}_mean": f"features_{camera}" for camera in CAMERAS}
        node.input[:] = [ends.get(name, name) for name in node.input]
    inputs = [
        helper.make_tensor_value_info(f"features_{camera}", TensorProto.FLOAT, (1, 3))
        for camera in CAMERAS
    ]
    inputs += [value for value in graph.input if not of_camera([value.name])]
    return helper.make_graph(nodes, "rest", inputs, list(graph.output), _taken(graph, nodes))


def _taken(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> list[TensorProto]:
    taken = {name for node in nodes for name in node.input}
    return [tensor for tensor in graph.initializer if tensor.name in taken]

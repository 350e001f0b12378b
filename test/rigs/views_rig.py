"""The smallest bundle whose pictures have a graph of their own."""

from __future__ import annotations

from pathlib import Path

import onnx
from graph_rig import CAMERAS, HEIGHT, WIDTH
from onnx import TensorProto, helper
from policy_rig import write_bundle, write_policy

from arfm_ros.engines import load_bundle


def bundle_by_view(folder: Path) -> Path:
    """Write `write_bundle`'s network with view.onnx: a picture -> its mean [1, 3]."""
    spec = load_bundle(write_bundle(folder)).spec
    whole = onnx.load(folder / "prefix.onnx")
    first, last = (_view(whole.graph), _joined(whole.graph))
    for name, graph in (("view", first), ("prefix", last)):
        made = helper.make_model(
            graph, opset_imports=list(whole.opset_import), ir_version=whole.ir_version
        )
        onnx.checker.check_model(made)
        onnx.save(made, folder / f"{name}.onnx")
    write_policy(folder, spec)
    return folder


def _view(graph: onnx.GraphProto) -> onnx.GraphProto:
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


def _joined(graph: onnx.GraphProto) -> onnx.GraphProto:
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

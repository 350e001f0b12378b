"""One file of weights for several graphs: the plain and the guided step are the same network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SMALL = 1024  # bytes; what is smaller stays in its graph
ALIGNMENT = 4096  # of every tensor, so that it can be mapped into memory


def share_weights(graphs: list[Path], store: Path) -> None:
    """Move the large weights of `graphs` into `store` beside them, each only once.

    What one graph holds transposed is stored once too and transposed in the graph; runtimes do
    that when they load it. The graphs are rewritten and refer to `store` by its name.
    """
    places: dict[str, tuple[int, int]] = {}  # hash of a tensor -> offset, bytes
    with store.open("wb") as file:
        for path in graphs:
            model = onnx.load(path)
            _move(model.graph, file, places, store.name)
            path.write_bytes(model.SerializeToString())
    for path in graphs:
        onnx.checker.check_model(str(path))


def _move(
    graph: onnx.GraphProto, file: BinaryIO, places: dict[str, tuple[int, int]], location: str
) -> None:
    turned = []
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.nbytes < SMALL:
            continue
        key, other = _key(value), _key(value.T)
        if key not in places and other in places:
            turned.append(_turn(tensor))
            key = other
        elif key not in places:
            places[key] = _append(file, value)
        _refer(tensor, location, *places[key])
    nodes = [*turned, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _append(file: BinaryIO, value: NDArray[np.generic]) -> tuple[int, int]:
    file.write(b"\0" * (-file.tell() % ALIGNMENT))
    place = (file.tell(), value.nbytes)
    file.write(value.tobytes())
    return place


def _key(value: NDArray[np.generic]) -> str:
    content = np.ascontiguousarray(value).tobytes()
    return hashlib.sha256(f"{value.dtype} {value.shape}".encode() + content).hexdigest()


def _turn(tensor: TensorProto) -> onnx.NodeProto:
    """Rename a matrix to what is stored and return the node that makes the original of it."""
    name = tensor.name
    tensor.name = f"{name}_stored"
    tensor.dims[:] = list(tensor.dims)[::-1]
    order = list(range(len(tensor.dims)))[::-1]
    return helper.make_node("Transpose", [tensor.name], [name], perm=order)


def _refer(tensor: TensorProto, location: str, offset: int, length: int) -> None:
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))

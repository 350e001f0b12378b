"""One file of weights for all graphs, which is also what training starts from again.

`weights.safetensors` holds the network's averaged parameters under their names in torch; the
graphs refer into it as ONNX external data. What the exporter computed from parameters (a folded
constant) stays in its graph.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

SMALL = 1024  # bytes; what is smaller stays in its graph
READABLE = 0o644
HEADER_SIZE = 8  # bytes that say how long the header of a safetensors file is

Place = tuple[int, int]  # offset and length in bytes


def let_others_read(folder: Path) -> None:
    """Make all files of `folder` readable: libraries make some their owner's alone."""
    for file in folder.iterdir():
        if file.is_file() and not file.is_symlink():
            file.chmod(READABLE)


def share_weights(
    graphs: list[Path],
    store: Path,
    weights: Mapping[str, NDArray[np.generic]],
    notes: Mapping[str, str],
) -> None:
    """Write `weights` and `notes` to `store` and make the `graphs` beside it refer there.

    What a graph holds transposed is transposed in the graph; runtimes do that when they load it.
    """
    whole = {name: np.ascontiguousarray(value) for name, value in weights.items()}
    save_file(whole, store, metadata=dict(notes))
    store.chmod(READABLE)  # the library makes it its owner's alone
    places = _places(whole, store)
    for path in graphs:
        model = onnx.load(path)
        _move(model.graph, places, store.name)
        path.write_bytes(model.SerializeToString())
        path.with_suffix(".data").unlink(missing_ok=True)  # of a graph that had no room for them
        onnx.checker.check_model(str(path))


def _places(weights: Mapping[str, NDArray[np.generic]], store: Path) -> dict[str, Place]:
    """Read where each tensor lies in `store`, keyed by a hash of its content."""
    with store.open("rb") as file:
        size = int.from_bytes(file.read(HEADER_SIZE), "little")
        header = json.loads(file.read(size))
    places = {}
    for name, value in weights.items():
        begin, end = header[name]["data_offsets"]
        places[_key(value)] = (HEADER_SIZE + size + begin, end - begin)
    return places


def _move(graph: onnx.GraphProto, places: Mapping[str, Place], location: str) -> None:
    turned = []
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.nbytes < SMALL:
            continue
        key, other = _key(value), _key(value.T)
        if key not in places and other in places:
            turned.append(_turn(tensor))
            key = other
        if key in places:
            _refer(tensor, location, *places[key])
    nodes = [*turned, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


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

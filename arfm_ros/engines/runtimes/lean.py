"""A large graph as onnxruntime runs it on a CPU with little memory: weights wait for their turn.

What depends on nothing is computed first: all weights that are stored in half precision would be
float32 at the same time. Here each waits for what it is multiplied with: the shape that it is
given is computed from that, by a number that is always 0.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

FLAT, ZERO, ONE = "lean_flat", "lean_zero", "lean_one"


def waiting_weights(path: Path) -> bytes | None:
    """Return the graph in `path` with weights that wait; None where none has to, or without onnx.

    The weights stay in their file, whose folder the session has to be told.
    """
    try:
        onnx = import_module("onnx")
    except ImportError:  # a robot has no onnx: the graph runs as it is, in more memory
        return None
    model = onnx.load(path, load_external_data=False)
    if not _make_wait(onnx, model.graph):
        return None
    serialised: bytes = model.SerializeToString()
    return serialised


def _make_wait(onnx: Any, graph: Any) -> int:
    """Change a graph; returns how many weights wait."""
    half = _Halves(onnx, graph)
    nodes = []
    for node in graph.node:
        if node.output[0] not in half.made:  # those are put before what takes them
            nodes += [*half.before(node), node]
    del graph.node[:]
    graph.node.extend(nodes)
    return half.waiting


class _Halves:
    """The weights of a graph that are stored in half precision, and what converts them."""

    def __init__(self, onnx: Any, graph: Any) -> None:
        kinds, helper = onnx.TensorProto, onnx.helper
        self._graph, self._helper, self._int64 = graph, helper, kinds.INT64
        self._stored = {tensor.name: tensor for tensor in graph.initializer}
        half = (kinds.BFLOAT16, kinds.FLOAT16)
        self._casts, self._turned = dict[str, Any](), dict[str, Any]()
        for node in graph.node:
            source = self._stored.get(node.input[0]) if node.input else None
            if node.op_type == "Cast" and source is not None and source.data_type in half:
                self._casts[node.output[0]] = node
            elif node.op_type == "Transpose" and node.input[0] in self._casts:
                self._turned[node.output[0]] = node
        self.made = {*self._casts, *self._turned}
        self.waiting, self._placed = 0, set[str]()
        for name, value in ((FLAT, -1), (ZERO, 0), (ONE, 1)):
            graph.initializer.append(helper.make_tensor(name, self._int64, [1], [value]))

    def before(self, node: Any) -> list[Any]:
        """Give what has to be computed before `node`, which takes some of the weights."""
        found: list[Any] = []
        other = next((n for n in node.input if n and n not in self.made | {*self._stored}), "")
        for name in node.input:
            turned = self._turned.get(name)
            cast = self._casts.get(turned.input[0] if turned else name)
            found += self._once(cast, other) if cast else []
            if turned and name not in self._placed:
                self._placed.add(name)
                found.append(turned)
        return found

    def _once(self, cast: Any, other: str) -> list[Any]:
        """Give a weight's conversion the first time, behind `other` where that is computed."""
        if cast.output[0] in self._placed:
            return []
        self._placed.add(cast.output[0])
        return [*(self._wait(cast, other) if other else []), cast]

    def _wait(self, cast: Any, other: str) -> list[Any]:
        """Make nodes that give a weight its shape once `other` is there; `cast` takes it then."""
        self.waiting += 1
        make, name = self._helper.make_node, f"lean_{cast.output[0]}"
        weight, shape = self._stored[cast.input[0]], f"{name}_shape"
        sizes = list(weight.dims)
        self._graph.initializer.append(
            self._helper.make_tensor(f"{shape}_known", self._int64, [len(sizes)], sizes)
        )
        made = [
            make("Reshape", [other, FLAT], [f"{name}_flat"]),
            make("Slice", [f"{name}_flat", ZERO, ONE], [f"{name}_first"]),
            make("IsNaN", [f"{name}_first"], [f"{name}_nan"]),
            make("Cast", [f"{name}_nan"], [f"{name}_int"], to=self._int64),
            make("Mul", [f"{name}_int", ZERO], [f"{name}_zero"]),
            make("Add", [f"{name}_zero", f"{shape}_known"], [shape]),
            make("Reshape", [weight.name, shape], [f"{name}_there"]),
        ]
        cast.input[0] = f"{name}_there"
        return made

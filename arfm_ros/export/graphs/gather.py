"""Rows of a table are looked up before they are converted, not the whole table converted."""

from __future__ import annotations

from onnx import ModelProto, NodeProto


def gather_first(model: ModelProto) -> None:
    """Turn Gather(Cast(table), ids) into Cast(Gather(table, ids)), where nothing else takes it.

    A vocabulary in half precision is larger than all else in memory when it is converted whole.
    """
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    casts = {n.output[0]: n for n in graph.node if n.op_type == "Cast" and n.input[0] in stored}
    takers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    nodes = []
    gone = []
    for node in graph.node:
        cast = casts.get(node.input[0]) if node.op_type == "Gather" else None
        if cast is None or len(takers[cast.output[0]]) > 1:
            nodes.append(node)
            continue
        gone.append(cast.output[0])
        found, rows = node.output[0], f"{node.output[0]}_stored"
        node.input[0], node.output[0] = cast.input[0], rows
        after = NodeProto()
        after.CopyFrom(cast)
        after.name, after.input[0], after.output[0] = f"{cast.name}_of_rows", rows, found
        nodes += [node, after]
    kept = [node for node in nodes if node.output[0] not in gone]
    del graph.node[:]
    graph.node.extend(kept)
    types = [value for value in graph.value_info if value.name not in gone]
    del graph.value_info[:]
    graph.value_info.extend(types)

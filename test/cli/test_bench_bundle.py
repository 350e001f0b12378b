"""What a graph costs, counted; what the machine can; and how long a bundle takes beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from policy_rig import write_bundle
from torch.utils.flop_counter import FlopCounterMode

from arfm_ros.bench.amounts import Cost, Roof
from arfm_ros.bench.bundle import chunk_runs
from arfm_ros.bench.cost import count
from arfm_ros.bench.gpus import bf16_floors_ms
from arfm_ros.bench.roofline import Roofline
from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import BundleError
from arfm_ros.core.values.spec import Rtc
from arfm_ros.engines import load_bundle
from arfm_ros.export.torch_engine import modules
from arfm_ros.learn.loop.checkpoint import build_policy
from arfm_ros.learn.model.from_bundle import bundle_checkpoint

torch.set_num_threads(1)  # beside other processes, more threads wait for each other
SHIPPED = Path(__file__).parents[2] / "models" / "fr3_tabletop"
F32 = TensorProto.FLOAT


def graph(
    folder: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int]],
    weights: dict[str, list[int]],
    functions: list[onnx.FunctionProto] | None = None,
) -> Path:
    """Write a graph of float32 tensors with zeros for weights."""
    ends = [
        [helper.make_tensor_value_info(name, F32, shape) for name, shape in values.items()]
        for values in (inputs, outputs)
    ]
    tensors = [
        numpy_helper.from_array(np.zeros(shape, np.int64 if name == "ids" else np.float32), name)
        for name, shape in weights.items()
    ]
    opsets = [helper.make_opsetid(*o) for o in (("", 23), ("own", 1), ("com.microsoft", 1))]
    made = helper.make_model(
        helper.make_graph(nodes, "counted", *ends, tensors),
        opset_imports=opsets,
        functions=functions or [],
    )
    onnx.save(made, folder / "graph.onnx")
    return folder / "graph.onnx"


node = helper.make_node


@pytest.mark.parametrize(
    "made,inputs,output,weights,flops",
    [
        (node("MatMul", ["x", "w"], ["y"]), [1, 3, 5], [1, 3, 7], {"w": [5, 7]}, 2 * 3 * 5 * 7),
        (node("Gemm", ["x", "w"], ["y"], transA=1), [5, 3], [3, 7], {"w": [5, 7]}, 2 * 3 * 5 * 7),
        (
            node("Conv", ["x", "w"], ["y"], group=2, strides=[2, 2], pads=[1, 1, 1, 1]),
            [1, 4, 8, 6],
            [1, 6, 4, 3],
            {"w": [6, 2, 3, 3]},
            2 * (6 * 4 * 3) * (2 * 3 * 3),
        ),
        (
            node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]),
            [1, 4, 5, 5],
            [1, 6, 10, 10],
            {"w": [4, 6, 2, 2]},
            2 * (4 * 5 * 5) * (6 * 2 * 2),
        ),
        (
            node("Einsum", ["x", "w"], ["y"], equation="bhi, hij -> bhj"),
            [2, 3, 5],
            [2, 3, 7],
            {"w": [3, 5, 7]},
            2 * 2 * 3 * 5 * 7,
        ),
        (
            node("Attention", ["x", "k", "v"], ["y"]),
            [1, 4, 5, 8],
            [1, 4, 5, 6],
            {"k": [1, 4, 9, 8], "v": [1, 4, 9, 6]},
            2 * 4 * 5 * 9 * (8 + 6),
        ),
        (node("Add", ["x", "w"], ["y"]), [3, 5], [3, 5], {"w": [3, 5]}, 0),
    ],
)
def test_operations_and_bytes_are_those_counted_by_hand(
    tmp_path: Path,
    made: onnx.NodeProto,
    inputs: list[int | str],
    output: list[int],
    weights: dict[str, list[int]],
    flops: int,
) -> None:
    path = graph(tmp_path, [made], {"x": inputs}, {"y": output}, weights)
    stored = sum(4 * int(np.prod(shape)) for shape in weights.values())
    ends = 4 * int(np.prod(np.array(inputs, dtype=int))) + 4 * int(np.prod(output))
    assert count(path) == Cost(flops, stored, ends)


def test_shapes_between_nodes_are_inferred_and_functions_are_opened(tmp_path: Path) -> None:
    twice = helper.make_function(
        "own",
        "Twice",
        ["a", "b"],
        ["c"],
        [node("MatMul", ["a", "b"], ["m"]), node("MatMul", ["m", "b"], ["c"])],
        [helper.make_opsetid("", 23)],
    )
    nodes = [
        node("Transpose", ["x"], ["turned"], perm=[1, 0]),
        node("Twice", ["turned", "w"], ["y"], domain="own"),
    ]
    path = graph(tmp_path, nodes, {"x": [4, 3]}, {"y": [3, 4]}, {"w": [4, 4]}, [twice])
    assert count(path) == Cost(2 * 2 * 3 * 4 * 4, 4 * 16, 4 * 24)


def test_of_a_table_that_is_looked_up_only_the_rows_count(tmp_path: Path) -> None:
    lookup = node("Gather", ["table", "ids"], ["rows"])
    nodes = [lookup, node("Add", ["rows", "x"], ["y"])]
    sizes = {"table": [1000, 8], "ids": [3]}
    path = graph(tmp_path, nodes, {"x": [3, 8]}, {"y": [3, 8]}, sizes)
    assert count(path).weight_bytes == 4 * 3 * 8 + 8 * 3
    nodes = [lookup, node("MatMul", ["rows", "turned"], ["y"])]
    nodes.insert(1, node("Transpose", ["table"], ["turned"], perm=[1, 0]))  # read as a whole too
    path = graph(tmp_path, nodes, {"x": [3, 8]}, {"y": [3, 1000]}, sizes)
    assert count(path).weight_bytes == 4 * 8000 + 8 * 3


def test_what_cannot_be_counted_is_named(tmp_path: Path) -> None:
    ends: tuple[dict[str, list[int | str]], dict[str, list[int]]] = ({"x": [3, 5]}, {"y": [3, 7]})
    fused = node("FusedMatMul", ["x", "w"], ["y"], name="mix", domain="com.microsoft")
    with pytest.raises(BundleError, match=r"node mix is com.microsoft.FusedMatMul"):
        count(graph(tmp_path, [fused], *ends, {"w": [5, 7]}))
    free = graph(
        tmp_path, [node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 5]}, ends[1], {"w": [5, 7]}
    )
    with pytest.raises(BundleError, match="the shape of 'x' is not fixed"):
        count(free)
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match="broken.onnx is no graph that can be read"):
        count(tmp_path / "broken.onnx")


def test_the_shipped_graphs_cost_what_torch_counts() -> None:
    checkpoint = bundle_checkpoint(SHIPPED)
    model = build_policy(checkpoint)
    made = modules(model, checkpoint.spec, torch.device("cpu"))
    counted = {}
    for name, (module, example, _) in made.items():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(*example.values())
        counted[name] = counter.get_total_flops()
    found = {name: count(SHIPPED / f"{name}.onnx").flops for name in made}
    config = model.config
    unused = 2 * 3 * config.dim * config.actions  # the head that only training reads
    grid = [(h // 4) * (w // 4) for _, h, w in config.cameras]
    folded = sum(2 * 2 * cells * config.width for cells in grid)  # of constant coordinates
    counted["prefix"] -= unused + folded
    assert found == counted
    weights = sum(v.numel() for v in checkpoint.average.values())
    stored = sum(count(SHIPPED / f"{name}.onnx").weight_bytes for name in ("prefix", "step"))
    assert 0.9 < stored / (4 * weights) < 1.01  # all but most rows of the vocabulary


def test_a_floor_is_the_longer_of_operations_and_bytes() -> None:
    roof = Roof(flops_per_s=1e9, bytes_per_s=1e6)
    assert roof.floor_ms(Cost(3_000_000, 500, 500)) == pytest.approx(3.0)
    assert roof.floor_ms(Cost(3_000_000, 4_000, 1_000)) == pytest.approx(5.0)
    floors = bf16_floors_ms({"step": (Cost(0, 2 * 4_800_000, 0), 10)})
    assert floors["H200"] == pytest.approx(10 * 1e-3)  # weights at half their size


def test_the_machine_s_roofs_only_rise_and_more_threads_are_not_slower() -> None:
    roofline = Roofline()
    roofline.watch(2, 1 << 20)
    before = roofline.roof(2, 1 << 20)
    roofline.refresh()
    after, alone = roofline.roof(2, 1 << 20), roofline.roof(1, 1 << 20)
    assert after.flops_per_s >= max(before.flops_per_s, alone.flops_per_s) > 1e8
    assert after.bytes_per_s >= max(before.bytes_per_s, alone.bytes_per_s) > 1e8


def test_a_chunk_runs_the_guided_graph_as_often_as_the_sampler_does(tmp_path: Path) -> None:
    spec = load_bundle(write_bundle(tmp_path / "bundle", guided=True)).spec
    assert chunk_runs(spec)["chunk_rtc"] == {"prefix": 1, "step": 3}
    mixed = replace(spec, rtc=replace(spec.rtc, guidance="mixed"))
    assert chunk_runs(mixed)["chunk_rtc"] == {"prefix": 1, "step_rtc": 1, "step": 2}
    trained = replace(spec, rtc=Rtc("prefix", 4, 12))
    assert chunk_runs(trained)["chunk_rtc"] == {"prefix": 1, "step_rtc": 3}
    assert chunk_runs(replace(spec, rtc=Rtc())) == {"chunk": {"prefix": 1, "step": 3}}
    at_once = chunk_runs(trained, "chunk, chunk_rtc")
    assert at_once == {
        "chunk": {"prefix": 1, "chunk": 1},
        "chunk_rtc": {"prefix": 1, "chunk_rtc": 1},
    }
    ab2 = replace(trained, sampler=replace(trained.sampler, solver="ab2"))
    assert chunk_runs(ab2, "chunk, chunk_rtc") == chunk_runs(ab2)


def test_a_loop_is_counted_as_often_as_it_runs(tmp_path: Path) -> None:
    ends = [
        [helper.make_tensor_value_info(n, kind, shape) for n, kind, shape in values]
        for values in (
            [("i", TensorProto.INT64, []), ("go", TensorProto.BOOL, []), ("x", F32, [3, 5])],
            [("go_on", TensorProto.BOOL, []), ("y", F32, [3, 5])],
        )
    ]
    body = [node("MatMul", ["x", "w"], ["y"]), node("Identity", ["go"], ["go_on"])]
    loop = helper.make_graph(body, "body", *ends)
    nodes = [
        node("MatMul", ["times", "v"], ["seen"]),
        node("Size", ["times"], ["count"]),
        node("Loop", ["count", "", "start"], ["out"], body=loop),
    ]
    shapes: dict[str, list[int | str]] = {"times": ["S", 1], "start": [3, 5]}
    path = graph(tmp_path, nodes, shapes, {"out": [3, 5]}, {"w": [5, 5], "v": [1, 7]})
    for steps in (1, 4):
        found = count(path, steps)
        assert found.flops == steps * 2 * 3 * 5 * 5 + 2 * steps * 7
        assert found.weight_bytes == 4 * (steps * 25 + 7)
        assert found.io_bytes == 4 * (steps + 3 * 5 + 3 * 5)
        assert found.working_set == 4 * (25 + 7) + found.io_bytes


def test_a_bundle_is_measured_beside_its_floor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = write_bundle(tmp_path / "bundle", guided=True), tmp_path / "bench.json"
    main(["bench", str(folder), "--seconds", "0", "--json", str(out)])
    found = json.loads(out.read_text())
    rows = {row["what"]: row for row in found["rows"]}
    assert list(rows) == ["prefix", "step", "chunk", "step_rtc", "chunk_rtc"]
    for row in rows.values():
        assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["max_ms"] and row["count"] > 0
        assert row["ratio"] == pytest.approx(row["p50_ms"] / row["floor_ms"])
    assert rows["step"]["flops"] == 2 * 32 * 16 * 8  # summary by target
    whole = rows["prefix"]["bytes"] + 3 * rows["step"]["bytes"]
    assert rows["chunk"]["bytes"] == whole
    assert set(found["follow_on"]) == {"step", "chunk"}
    assert found["not_measured"]["eager torch"].count("weights.safetensors") == 1
    shown = capsys.readouterr().out
    assert "counted from its graphs" in shown and "nothing run there" in shown


def test_eager_torch_runs_beside_it_with_the_same_floors(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    main(["bench", "fr3_tabletop", "--seconds", "0", "--threads", "1", "--json", str(out)])
    rows = {(row["runtime"], row["what"]): row for row in json.loads(out.read_text())["rows"]}
    for what in ("prefix", "step", "step_rtc", "chunk", "chunk_rtc"):
        ours, torchs = rows["onnx fp32", what], rows["eager torch, 1 thread", what]
        assert ours["floor_ms"] == torchs["floor_ms"] > 0


def test_a_bundle_without_graphs_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_bundle(tmp_path / "bundle")
    raw = json.loads((folder / "policy.json").read_text())
    raw["remote"], raw["sha256"] = {"url": "ws://nowhere"}, {}
    (folder / "policy.json").write_text(json.dumps(raw))
    assert main(["bench", str(folder)]) == 1
    assert "runs on a server" in capsys.readouterr().err

"""An export that does not fit is refused with figures before it begins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("safetensors")

from safetensors.numpy import save_file  # noqa: E402

from arfm_ros.bringup import find_bundle  # noqa: E402
from arfm_ros.core.errors import ConfigError  # noqa: E402
from arfm_ros.engines.memory import GIB, available, elements, elements_of  # noqa: E402
from arfm_ros.engines.runtimes.onnx_engine import graph_threads, is_large  # noqa: E402
from arfm_ros.export import memory  # noqa: E402


def test_parameters_are_counted_by_headers_whatever_they_are_stored_in(tmp_path: Path) -> None:
    save_file({"a": np.zeros((3, 5), np.float32)}, tmp_path / "one.safetensors")
    save_file({"b": np.zeros(7, np.float16), "c": np.zeros(())}, tmp_path / "two.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 40)
    assert elements(tmp_path.glob("*.safetensors")) == 15 + 7 + 1


def test_a_graph_is_told_by_its_own_weights_in_the_bundle_that_ships() -> None:
    """Each graph takes a part of the one file, and some take the same ones."""
    bundle = find_bundle("")
    total = elements(bundle.glob("*.safetensors"))
    prefix, step, chunk = (elements_of(bundle / f"{n}.onnx") for n in ("prefix", "step", "chunk"))
    assert 0.9 * total < prefix + step <= total and step == chunk
    assert elements_of(bundle / "none.onnx") == 0 and not is_large(bundle / "prefix.onnx")
    assert (graph_threads(bundle / "prefix.onnx", 4), graph_threads(bundle / "step.onnx", 4)) == (
        4,
        1,
    )


@pytest.mark.parametrize(("step_mib", "threads"), [(8, 1), (96, 4)])
def test_threads_share_a_step_with_large_matrices(
    step_mib: int, threads: int, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx.external_data_helper import set_external_data

    count = step_mib * 2**18
    sizes = {"small": 2**20, "wide": count}
    save_file(
        {name: np.zeros(size, np.float16) for name, size in sizes.items()},
        tmp_path / "weights.safetensors",
    )
    header = (tmp_path / "weights.safetensors").open("rb").read(4096)
    begin = 8 + int.from_bytes(header[:8], "little")
    entries = json.loads(header[8:begin])
    tensor = onnx.TensorProto(name="wide", data_type=onnx.TensorProto.FLOAT16, dims=[count])
    first, end = entries["wide"]["data_offsets"]
    tensor.raw_data = b""  # wanted before it is said to lie elsewhere
    set_external_data(tensor, "weights.safetensors", begin + first, end - first)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    graph = onnx.helper.make_graph([], "step", [], [], [tensor])
    (tmp_path / "step.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    assert elements_of(tmp_path / "step.onnx") == count
    assert graph_threads(tmp_path / "step.onnx", 4) == threads


def test_what_does_not_fit_is_refused_with_both_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file({"a": np.zeros(100, np.float32)}, tmp_path / "model.safetensors")
    monkeypatch.setattr(memory, "available", lambda: 0.5 * GIB)
    with pytest.raises(ConfigError, match=r"needs some 3\.0 GiB of memory, 0\.5 GiB are free"):
        memory.require_memory(tmp_path)
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.require_memory(tmp_path)


def test_the_memory_of_this_machine_is_told() -> None:
    free = available()
    assert free is None or 0.01 < free / GIB < 100_000

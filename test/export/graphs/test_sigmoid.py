"""Graphs whose sigmoids are written out: the same values, closer to the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

from arfm_ros.export.graphs import onnx as export


def test_an_exported_sigmoid_is_exact_and_its_tails_neither_stick_nor_overflow(
    tmp_path: Path,
) -> None:
    x = torch.linspace(-120, 120, 4801)[None]
    export.finish(export.to_onnx(torch.nn.SiLU(), (x,), ["x"], ["y"]), tmp_path / "silu.onnx")
    session = ort.InferenceSession(str(tmp_path / "silu.onnx"))
    found = session.run(None, {"x": x.numpy()})[0]

    wanted = torch.nn.functional.silu(x.double()).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-30)

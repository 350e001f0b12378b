"""A bundle in int8: built, checked and run as any other engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from policy_rig import PICTURE, STATE, write_bundle

from arfm_ros.core.values.data import Observation
from arfm_ros.engines import load_policy
from arfm_ros.export.build import build_engine


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("eight") / "bundle", guided=True)


def test_products_are_in_int8_and_the_chunk_is_nearly_the_same(bundle: Path) -> None:
    folder = build_engine(bundle, "onnx", "int8", say=lambda text: None)
    graph = onnx.load(folder / "step.onnx", load_external_data=False).graph
    assert any(node.op_type == "MatMulInteger" for node in graph.node)
    assert not list(folder.glob("*.float.onnx*"))
    whole, low = load_policy(bundle), load_policy(bundle, precision="int8")
    assert low.runtime.precision == "int8"
    seen = Observation(PICTURE, STATE, "lift the cube", stamp_ns=0)
    noise = np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)
    wanted = whole.sample(whole.encode(seen), noise).actions
    found = low.sample(low.encode(seen), noise).actions
    apart = np.abs(found - wanted).max()
    assert 0 < apart < 0.1 * np.abs(wanted).max()

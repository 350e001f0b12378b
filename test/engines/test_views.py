"""Pictures with a graph of their own: on each engine, with and without what was kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from policy_rig import bundle_by_view, write_bundle, write_policy

from arfm_ros.core.errors import BundleError, EngineError
from arfm_ros.engines import EnginePolicy, load_bundle, load_policy


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("views")
    return write_bundle(folder / "whole"), bundle_by_view(folder / "split")


def opened(bundle: Path, engine: str = "onnx") -> EnginePolicy:
    policy = load_policy(bundle, engine=engine, threads=1)
    assert isinstance(policy, EnginePolicy)
    return policy


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_split_prefix_gives_the_context_of_the_whole_one(
    pair: tuple[Path, Path], engine: str
) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    whole, split = opened(pair[0]), opened(pair[1], engine)
    views = split.views
    assert whole.views is None and views is not None
    for limit, counts in ((0.0, (6, 0)), (5.0, (12, 0)), (0.0, (18, 0))):
        views.limit = limit
        for seed in range(3):  # pictures of noise: each is another one
            seen = whole.spec.example(seed)
            found, wanted = (np.array(p.encode(seen).tensors["summary"]) for p in (split, whole))
            np.testing.assert_allclose(found, wanted, atol=1e-6)
        assert (views.encoded, views.reused) == counts


def test_what_is_kept_is_the_picture_as_it_was_then(pair: tuple[Path, Path]) -> None:
    policy = opened(pair[1])
    views = policy.views
    assert views is not None
    views.limit = 1.0
    seen = policy.spec.example(0)
    images = {name: image.copy() for name, image in seen.images.items()}
    seen = replace(seen, images=images)
    policy.encode(seen)
    images["wrist"][:] = 255 - images["wrist"]  # a driver's buffer, which it fills again
    policy.encode(seen)
    assert (views.encoded, views.reused) == (3, 1)


def test_tokens_that_are_not_finite_are_named_and_not_kept(tmp_path: Path) -> None:
    folder = bundle_by_view(tmp_path / "split")
    spec, graph = load_bundle(folder).spec, onnx.load(folder / "view.onnx")
    last = graph.graph.node[-1]
    last.output[0] = "mean"
    graph.graph.node.append(onnx.helper.make_node("Log", ["mean"], ["features"]))  # black: -inf
    onnx.save(graph, folder / "view.onnx")
    write_policy(folder, spec)
    policy = opened(folder)
    assert policy.views is not None
    policy.views.limit = 255.0
    seen = spec.example(0)
    dark = {name: np.zeros_like(image) for name, image in seen.images.items()}
    for _ in range(2):
        with pytest.raises(EngineError, match="tokens of camera 'scene' are not finite"):
            policy.encode(replace(seen, images=dark))
    policy.encode(seen)
    assert (policy.views.encoded, policy.views.reused) == (2, 0)


def test_a_graph_of_pictures_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = bundle_by_view(tmp_path / "split")
    (folder / "view.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"view\.onnx was changed"):
        load_policy(folder)

"""What the export of other libraries' policies is made of, without those libraries."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from safetensors.numpy import save_file

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import CameraInput, Language
from arfm_ros.core.values.text import compose
from arfm_ros.engines.resample import inner_size
from arfm_ros.export.graphs import onnx as onnx_export
from arfm_ros.export.graphs.time_embedding import TimeEmbedding
from arfm_ros.export.graphs.weights import share_weights
from arfm_ros.export.lerobot.processors import AFTER, BEFORE, normalisation, read_processors
from arfm_ros.export.lerobot.steps import NORMALIZER, TOKENIZER, Order
from arfm_ros.export.lerobot.weights import check_weights
from arfm_ros.export.vla.model import export_vla

ROBOT = "cameras: {top: scene}\nstate: [a]\nactions: [a]\ndt_s: 0.1\ninstruction: go\n"


def test_the_state_is_written_into_the_text_as_pi05_reads_it() -> None:
    template = "<bos>Task: {instruction}, State: {state};\nAction: "
    language = Language("tokenizer", 200, 300, template, flat=True, state_bins=256)
    state = np.array([-1.5, -1.0, -0.001, 0.0, 0.999, 1.0, 7.0], np.float32)
    text = compose(language, " lift_the\nred cube\n", state)
    bins = "-1 0 127 128 255 255 255"
    assert text == f"<bos>Task: lift the red cube, State: {bins};\nAction: "
    assert compose(Language(), "lift_it {state}", state) == "lift_it {state}"
    assert "{state}" in compose(language, "{state}", state)  # an instruction is no template


@pytest.mark.parametrize("dimension", [16, 1024])
def test_the_time_is_embedded_in_float32_as_in_float64(dimension: int) -> None:
    """The formula of openpi's `create_sinusoidal_pos_embedding`."""
    times = torch.cat([torch.arange(50) / 50, 1 - torch.rand(200), torch.ones(1)])
    found = TimeEmbedding(dimension, 4e-3, 4.0)(times)
    fraction = torch.linspace(0, 1, dimension // 2, dtype=torch.float64)
    period = 4e-3 * (4.0 / 4e-3) ** fraction
    angle = 2 * math.pi * times.double()[:, None] / period
    wanted = torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)
    assert found.dtype == torch.float32
    assert (found - wanted).abs().max() < 5e-7
    plain = torch.sin((2 * math.pi / period).float() * times[:, None])
    assert (plain - torch.sin(angle)).abs().max() > 1e-5  # what this is for


@pytest.mark.parametrize("mode", ["MEAN_STD", "MIN_MAX", "QUANTILES"])
def test_normalisation_is_lerobot_s_and_survives_a_range_of_nothing(mode: str) -> None:
    a, b = np.array([-2.0, 0.5, 3.0], np.float32), np.array([1.0, 2.5, 3.0], np.float32)
    affine = normalisation(mode, a, b, 1e-8)
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    width = np.where(a == b, 1e-8, b - a)
    wanted = (x - a) / (b + 1e-8) if mode == "MEAN_STD" else 2 * (x - a) / width - 1
    np.testing.assert_allclose(affine.normalise(x)[:, :2], wanted[:, :2], rtol=1e-5, atol=1e-6)
    z = affine.unnormalise(np.zeros((1, 3), np.float32))
    np.testing.assert_allclose(z[0], a if mode == "MEAN_STD" else (a + b) / 2, rtol=1e-6)


READS_WORDS = Order((NORMALIZER, TOKENIZER))


def write_processors(folder: Path, **statistics: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    step = {"config": {"eps": 1e-8, "norm_map": {"STATE": "MEAN_STD", "ACTION": "MIN_MAX"}}}
    step["state_file"] = "statistics.safetensors"  # type: ignore[assignment]
    tokenizer = {"registry_name": "tokenizer_processor", "config": {"max_length": 48}}
    before = [{"registry_name": "normalizer_processor", **step}, tokenizer]
    after = [{"registry_name": "unnormalizer_processor", **step}]
    (folder / BEFORE).write_text(json.dumps({"steps": before}))
    (folder / AFTER).write_text(json.dumps({"steps": after}))
    save_file(statistics, folder / "statistics.safetensors")


def test_processors_are_read_and_say_what_they_lack(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"has no {BEFORE}: save the processors"):
        read_processors(tmp_path, 2, 1, READS_WORDS)
    state = {"observation.state.mean": np.ones(2), "observation.state.std": np.ones(2)}
    write_processors(tmp_path / "a", **state)
    with pytest.raises(ConfigError, match=r"has no action.min, action.max, .*MIN_MAX of action"):
        read_processors(tmp_path / "a", 2, 1, READS_WORDS)
    action = {"action.min": np.array([-2.0]), "action.max": np.array([4.0])}
    write_processors(tmp_path / "a", **state, **action)
    with pytest.raises(ConfigError, match=r"observation.state.mean is \[2\], needs \[3\]"):
        read_processors(tmp_path / "a", 3, 1, READS_WORDS)
    found = read_processors(tmp_path / "a", 2, 1, READS_WORDS)
    assert found.state.offset.tolist() == [1, 1] and found.tokenizer["max_length"] == 48
    assert found.action.offset.tolist() == [1] and found.action.scale.tolist() == [3]


def test_weights_that_share_a_tensor_are_missing_only_together() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    network[1].weight = network[0].weight
    state = network.state_dict()
    del state["1.weight"]
    check_weights(network, state, Path("model.safetensors"))
    del state["0.weight"]
    with pytest.raises(ConfigError, match=r"lacks 2 weights: 0.weight, 1.weight"):
        check_weights(network, state, Path("model.safetensors"))
    state |= {"0.weight": torch.zeros(2, 3)}
    with pytest.raises(ConfigError, match=r"0.weight is \[2, 3\], needs \[2, 2\]"):
        check_weights(network, state, Path("model.safetensors"))


def test_a_checkpoint_of_an_unknown_type_is_told_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "robot.yaml").write_text(ROBOT)
    (tmp_path / "config.json").write_text('{"type": "new"}')
    with pytest.raises(ConfigError, match="policy type 'new', known are: .*pi0, pi05, smolvla"):
        export_vla(f"lerobot:{tmp_path}", tmp_path / "robot.yaml", tmp_path / "b", "b")
    with pytest.raises(ConfigError, match="there is no folder .*nowhere"):
        export_vla(f"lerobot:{tmp_path}/nowhere", tmp_path / "robot.yaml", tmp_path / "b", "b")


@pytest.mark.parametrize(
    "pad,rows", [("centre", 126), ("start", 126), ("end", 125)], ids=["openpi", "smolvla", "hf"]
)
def test_720_rows_shrink_to_as_many_as_in_each_library(pad: str, rows: int) -> None:
    """224 / 1280 is no binary fraction: whether one divides or multiplies decides over a row."""
    assert inner_size(720, 1280, CameraInput("a", 224, 224, "linear", pad)) == (rows, 224)


@pytest.mark.parametrize("mode", ["MIN_MAX", "QUANTILES"])
def test_an_input_that_never_moved_is_lerobot_s_and_does_not_blow_up(mode: str) -> None:
    rest = np.array([3.7], np.float32)
    affine = normalisation(mode, rest, rest, 1.0)
    np.testing.assert_allclose(affine.normalise(rest), -1, atol=1e-6)
    assert np.abs(affine.normalise(rest + np.float32(0.01))).max() < 2


def test_weights_too_large_for_one_file_end_up_in_the_same_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(40, 60), torch.nn.Linear(60, 30)).eval()
    x = torch.randn(1, 40)
    weights = {name: p.detach().numpy() for name, p in network.named_parameters()}
    graphs = []
    for room in (onnx_export.ROOM, 100):
        monkeypatch.setattr(onnx_export, "ROOM", room)
        path = tmp_path / f"{room}" / "step.onnx"
        path.parent.mkdir()
        onnx_export.finish(onnx_export.to_onnx(network, (x,), ["x"], ["y"]), path)
        assert path.with_suffix(".data").exists() == (room == 100)
        share_weights([path], path.with_name("weights.safetensors"), weights, {})
        assert sorted(file.name for file in path.parent.iterdir()) == [
            "step.onnx",
            "weights.safetensors",
        ]
        found = ort.InferenceSession(str(path)).run(None, {"x": x.numpy()})[0]
        np.testing.assert_allclose(found, network(x).detach().numpy(), atol=1e-5)
        graphs.append(path.read_bytes())
    assert graphs[0] == graphs[1]

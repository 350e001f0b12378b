"""What `arfm export` leaves: graphs that equal torch, a card that agrees with the files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from learn_rig import exported

from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import BundleError, ConfigError
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.engines.gate.replay import LIMITS, load_reference, replay
from arfm_ros.export.bundle import export_bundle
from arfm_ros.export.card import write_card
from arfm_ros.export.timing import measure, torch_chunk
from arfm_ros.learn.data.frames import open_frames
from arfm_ros.learn.loop.begin import frames_config
from arfm_ros.learn.loop.checkpoint import build_policy, load_checkpoint, stage
from arfm_ros.learn.model.from_bundle import bundle_checkpoint


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory)[0]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory)[1]


def test_onnx_equals_torch_on_real_observations(bundle: Path) -> None:
    parity = replay(load_policy(bundle, threads=1), load_reference(bundle))
    assert parity.passed
    limit = LIMITS["fp32"].step
    assert 0 < parity.max_step_error <= limit and parity.max_chunk_error <= limit
    assert parity.max_action_error <= limit and parity.cosine > 0.999999


def test_the_kept_measurement_says_what_a_replay_says(bundle: Path) -> None:
    kept = json.loads((bundle / "parity.json").read_text())
    again = replay(load_policy(bundle, threads=2), load_reference(bundle))
    assert kept["passed"] and kept["observations"] == again.observations == 8
    assert kept["max_step_error"] == pytest.approx(again.max_step_error, abs=1e-6)
    assert kept["timing"]["ratio"] > 0 and kept["timing"]["threads"] == 1


def test_eager_torch_computes_the_reference_chunk(run: Path, bundle: Path) -> None:
    reference, spec = load_reference(bundle), load_bundle(bundle).spec
    chunk = torch_chunk(build_policy(load_checkpoint(run)), spec, reference)()
    np.testing.assert_allclose(chunk, reference.chunk[0], atol=1e-5)


def test_training_can_start_from_a_bundle(run: Path, bundle: Path, tmp_path: Path) -> None:
    saved, read = load_checkpoint(run), bundle_checkpoint(bundle)
    assert read.config == saved.config
    np.testing.assert_array_equal(read.spec.state_norm.offset, saved.spec.state_norm.offset)
    assert all(torch.equal(read.average[name], saved.average[name]) for name in saved.average)
    assert stage(read)["steps"] == saved.step and read.provenance["data"]
    (bare := tmp_path / "bare").mkdir()
    for path in bundle.iterdir():
        shutil.copy(path, bare)
    raw = json.loads((bare / "policy.json").read_text())
    del raw["sha256"]["weights.safetensors"]
    (bare / "policy.json").write_text(json.dumps(raw))
    (bare / "weights.safetensors").unlink()
    with pytest.raises(ConfigError, match="cannot be trained further"):
        bundle_checkpoint(bare)


def test_the_timing_compares_both_in_one_run(run: Path, bundle: Path) -> None:
    model = build_policy(load_checkpoint(run))
    timing = measure(
        model, load_policy(bundle, threads=1), load_reference(bundle), threads=1, repeats=3
    )
    assert timing.ratio == pytest.approx(timing.torch_ms / timing.onnxruntime_ms)


def test_reference_observations_are_the_held_out_frames(run: Path, bundle: Path) -> None:
    frames = open_frames(run / "cache", frames_config(load_checkpoint(run).config))
    reference = load_reference(bundle)
    episodes = set()
    for k in range(len(reference.state)):
        same = (frames.images["scene"] == reference.images["scene"][k]).all(axis=(1, 2, 3))
        episodes |= set(frames.episode[same].tolist())
    assert len(episodes) == 1  # a quarter of four


def test_graphs_have_the_contract_s_names_types_and_shapes(bundle: Path) -> None:
    prefix, step = (onnx.load(bundle / name).graph for name in ("prefix.onnx", "step.onnx"))
    given = {value.name: _shape(value) for value in prefix.input}
    uint8, int64, float32 = (
        onnx.TensorProto.UINT8,
        onnx.TensorProto.INT64,
        onnx.TensorProto.FLOAT,
    )
    assert given == {
        "image_scene": (uint8, [1, 32, 32, 3]),
        "image_wrist": (uint8, [1, 32, 32, 3]),
        "state": (float32, [1, 8]),
        "tokens": (int64, [1, 16]),
    }
    context = {value.name: _shape(value) for value in prefix.output}
    taken = {value.name: _shape(value) for value in step.input}
    assert taken == {"x": (float32, [1, 16, 8]), "t": (float32, [1]), **context}
    assert [(v.name, _shape(v)) for v in step.output] == [("v", (float32, [1, 16, 8]))]


def _shape(value: onnx.ValueInfoProto) -> tuple[int, list[int]]:
    tensor = value.type.tensor_type
    return tensor.elem_type, [dim.dim_value for dim in tensor.shape.dim]


def test_no_file_names_the_machine_it_was_made_on(run: Path, bundle: Path) -> None:
    for file in bundle.iterdir():
        content = file.read_bytes()
        for place in (str(run.parent), str(Path(__file__).parents[2])):
            assert place.encode() not in content, file.name


def test_the_card_takes_its_numbers_from_the_files(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    assert "Not measured yet" in (copy / "README.md").read_text()
    row = {"success_rate": 0.93, "n": 100, "interval": [0.863, 0.966], "command": "./arfm eval x"}
    text = write_card(copy, {"lift": row}).read_text()
    assert "| lift | 93.0 % | 100 | 86.3 – 96.6 % |" in text
    assert write_card(copy).read_text() == text  # kept for later exports of the card
    parity = json.loads((copy / "parity.json").read_text())
    assert f"{parity['max_step_error']:.1e} per step" in text
    assert "| lift | 4 | 48 |" in text


def test_check_passes_here_and_fails_for_other_weights(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(bundle), "--threads", "1"]) == 0
    assert "passed on 8 observations" in capsys.readouterr().out
    assert main(["check", str(bundle), "--threads", "1", "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["passed"] and len(record["step_errors"]) == load_bundle(bundle).spec.steps
    assert record["worst_joint"].startswith("fr3_joint")
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    rows = dict(np.load(copy / "reference.npz"))
    rows["velocity"] = rows["velocity"] + np.float32(3e-5)
    np.savez(copy / "reference.npz", **rows)
    assert main(["check", str(copy), "--threads", "1", "--json", str(tmp_path / "p.json")]) == 1
    kept = json.loads((tmp_path / "p.json").read_text())
    assert not kept["passed"] and kept["max_step_error"] == pytest.approx(3e-5, rel=0.3)


def test_a_folder_that_is_no_bundle_is_not_replaced(run: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="no bundle"):
        export_bundle(run, tmp_path, "x")
    assert (tmp_path / "thesis.txt").exists()


def test_check_names_a_missing_reference(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    (copy / "reference.npz").unlink()
    with pytest.raises(BundleError, match="reference.npz is missing"):
        load_reference(copy)
    (copy / "reference.npz").write_text("not an archive")
    with pytest.raises(BundleError, match="not a reference file"):
        load_reference(copy)

"""openpi's own PyTorch checkpoints of pi0 and pi0.5, exported, against openpi's transforms.

Run by `./arfm test --vla`: the network is LeRobot's port of openpi's.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lerobot.policies.pi_gemma", reason="LeRobot is in .venv-vla")

import torch  # noqa: E402
from foreign_laws import assert_each_counts, assert_guidance_acts, some_noise  # noqa: E402
from openpi_files_rig import commands, write_checkpoint, write_interface  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from arfm_ros.cli.__main__ import main  # noqa: E402
from arfm_ros.core.errors import ConfigError  # noqa: E402
from arfm_ros.engines import load_policy  # noqa: E402
from arfm_ros.engines.gate.replay import LIMITS, load_reference, replay  # noqa: E402
from arfm_ros.export.vla.model import export_vla  # noqa: E402

pytestmark = pytest.mark.vla
torch.set_num_threads(1)
RELATIVE = 1e-4  # of the commands, from raw inputs
WORDS = " Push_the blue cube\nto the left "
CASES = {"pi0": "{}", "pi05": "{}", "silent": "{discrete_state_input: false}"}


@dataclass(frozen=True)
class Made:
    """A checkpoint and what became of it."""

    kind: str
    spoken: bool
    checkpoint: Path
    interface: Path
    bundle: Path


@pytest.fixture(scope="module", params=sorted(CASES))
def made(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Made]:
    folder, case = tmp_path_factory.mktemp(request.param), request.param
    kind = "pi05" if case == "silent" else case
    with pytest.MonkeyPatch.context() as patch:
        checkpoint = write_checkpoint(kind, folder, patch)
        interface, bundle = write_interface(folder / "r.yaml", CASES[case]), folder / "bundle"
        words = ["--out", str(bundle), "--interface", str(interface)]
        assert main(["export", f"openpi:{checkpoint}", *words]) == 0
        yield Made(kind, case != "silent", checkpoint, interface, bundle)


def test_the_commands_are_openpi_s_from_raw_inputs(made: Made) -> None:
    policy = load_policy(made.bundle, threads=1)
    rng = np.random.default_rng(3)
    for height, width in ((480, 640), (640, 360), (28, 28)):
        pictures = {
            name: rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            for name in ("scene", "wrist")
        }
        seen = replace(policy.spec.example(3), images=pictures, instruction=WORDS)
        noise = some_noise(policy)
        chunk = policy.sample(policy.encode(seen), noise)
        wanted = commands(made.kind, made.checkpoint, seen, noise, made.spoken)
        gap = np.abs(chunk.actions - wanted).max() / np.abs(wanted).max()
        print(f"{made.kind} {made.spoken} {height}x{width}: {gap:.1e} of the commands")
        assert 0 < gap <= RELATIVE, (height, width)


def test_the_graphs_pass_their_own_check(made: Made) -> None:
    parity = replay(load_policy(made.bundle, threads=1), load_reference(made.bundle))
    assert parity.passed and 0 < parity.max_guided_error <= LIMITS["fp32"].step
    assert f"{made.kind} of openpi" in (made.bundle / "README.md").read_text()
    assert main(["check", str(made.bundle), "--json", "-"]) == 0


def test_guidance_acts_and_every_input_counts(made: Made) -> None:
    policy = load_policy(made.bundle, threads=1)
    assert_guidance_acts(policy)
    seen = policy.spec.example(0)
    dark = {name: image // 2 for name, image in seen.images.items()}
    others = [
        replace(seen, instruction=WORDS),
        replace(seen, images={**seen.images, "scene": dark["scene"]}),
        replace(seen, images={**seen.images, "wrist": dark["wrist"]}),
    ]
    others += [replace(seen, state=seen.state + 0.3)] if made.spoken else []
    assert_each_counts(policy, others)


def test_what_does_not_fit_is_named(made: Made, tmp_path: Path) -> None:
    copy, out = Path(shutil.copytree(made.checkpoint, tmp_path / "copy")), tmp_path / "out"

    def refused(says: str, **interface: str) -> None:
        robot = write_interface(tmp_path / "robot.yaml", **interface)
        with pytest.raises(ConfigError, match=says):
            export_vla(f"openpi:{copy}", robot, out, "small")
        assert not out.exists()

    refused("knows base_0_rgb, left_wrist_0_rgb, right_wrist_0_rgb", cameras="{top: scene}")
    refused("extra has colour; an openpi checkpoint's may have ", extra="{colour: red}")
    weights = load_file(copy / "model.safetensors")
    name = "action_out_proj.weight"
    save_file({k: v for k, v in weights.items() if k != name}, copy / "model.safetensors")
    refused(f"lacks 1 weights: {name}")
    save_file(weights | {"lora_a": torch.zeros(1)}, copy / "model.safetensors")
    refused("has 1 weights that .* does not know: lora_a")
    save_file(weights | {name: weights[name][:3]}, copy / "model.safetensors")
    refused(rf"{name} is \[3, 16\], needs \[12, 16\]")
    save_file(weights, copy / "model.safetensors")
    (copy / "config.json").unlink()  # as openpi's PyTorch training leaves it
    refused("no config.json with action_horizon: .*extra: {horizon: N}")
    text = (copy / "tokenizer.json").read_text()
    (copy / "tokenizer.json").unlink()
    refused("needs the tokenizer .*tokenizer.json", extra="{horizon: 10}")
    (copy / "tokenizer.json").write_text(text)
    stats = copy / "assets" / "fr3" / "norm_stats.json"
    (copy / "assets" / "other").mkdir()
    shutil.copy(stats, copy / "assets" / "other")
    refused("statistics of fr3, other: .*extra: {asset: NAME}", extra="{horizon: 10}")
    (copy / "assets" / "other").rename(copy / "assets" / "trossen")
    aloha = "{horizon: 10, asset: trossen}"
    refused("adapt_to_pi.*not exported: serve it, remote:ws://", extra=aloha)
    shutil.rmtree(copy / "assets" / "trossen")
    raw = json.loads(stats.read_text())
    for key in ("mean", "q01"):
        raw["norm_stats"]["actions"][key] = [0.0] * 3
    stats.write_text(json.dumps(raw))
    refused("actions has 3 numbers .*, the interface file 8", extra="{horizon: 10}")
    stats.unlink()
    refused("has no assets/.*norm_stats.json", extra="{horizon: 10}")


def test_a_checkpoint_of_the_training_needs_the_horizon_only(made: Made, tmp_path: Path) -> None:
    """PyTorch training saves <step>/model.safetensors and assets, no config.json."""
    step = tmp_path / "run" / "2000"
    shutil.copytree(made.checkpoint, step)
    shutil.copytree(made.checkpoint, tmp_path / "run" / "900")
    (step / "config.json").unlink()
    extra = CASES["pi05" if made.spoken else "silent"][:-1]
    extra += (", " if len(extra) > 1 else "") + "horizon: 10}"
    robot = write_interface(tmp_path / "r.yaml", extra)
    export_vla(f"openpi:{tmp_path / 'run'}", robot, tmp_path / "b", "b")
    before, after = (load_policy(b, threads=1) for b in (made.bundle, tmp_path / "b"))
    seen, noise = before.spec.example(0), some_noise(before)
    chunks = [p.sample(p.encode(seen), noise).actions for p in (before, after)]
    np.testing.assert_array_equal(*chunks)


def test_checkpoints_of_another_kind_say_what_to_do(tmp_path: Path) -> None:
    robot = write_interface(tmp_path / "robot.yaml")

    def refused(says: str, source: Path) -> None:
        with pytest.raises(ConfigError, match=says):
            export_vla(f"openpi:{source}", robot, tmp_path / "out", "x")

    refused("there is no folder", tmp_path / "nowhere")
    jax = tmp_path / "jax"
    (jax / "params").mkdir(parents=True)
    (jax / "params" / "_METADATA").write_text("{}")
    if find_spec("orbax") is None:
        refused("convert_jax_model_to_pytorch.py --checkpoint_dir .* --output_path", jax)
    refused("no model.safetensors", tmp_path)
    save_file({"model.action_in_proj.weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    refused("LeRobot's: export lerobot:", tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    refused("neither time_mlp_in nor action_time_mlp_in", tmp_path)

"""LeRobot's pi0, pi0.5 and SmolVLA: small random checkpoints, exported, against LeRobot itself.

Run by `./arfm test --vla`, in the environment that has LeRobot.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="LeRobot is in .venv-vla: ./arfm test --vla")

import torch  # noqa: E402
from foreign_laws import assert_each_counts, assert_guidance_acts  # noqa: E402
from lerobot.policies.factory import make_pre_post_processors  # noqa: E402
from lerobot_rig import CAMERAS, CLASSES, NEWER, WORDS, save_checkpoint, write_interface  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from arfm_ros.cli.__main__ import main  # noqa: E402
from arfm_ros.core.errors import ConfigError  # noqa: E402
from arfm_ros.core.values.fresh import with_state  # noqa: E402
from arfm_ros.engines import load_policy  # noqa: E402
from arfm_ros.engines.gate.replay import LIMITS, load_reference, replay  # noqa: E402
from arfm_ros.engines.resample import fit_image  # noqa: E402
from arfm_ros.export.family import families_of  # noqa: E402
from arfm_ros.export.refused import REFUSED  # noqa: E402
from arfm_ros.export.vla.model import export_vla  # noqa: E402

pytestmark = pytest.mark.vla

ROOT = Path(__file__).resolve().parents[2]
LIMIT = LIMITS["fp32"].step
torch.set_num_threads(1)  # small tensors: more threads only wait for each other
KINDS = [pytest.param("pi0", marks=NEWER), pytest.param("pi05", marks=NEWER), "smolvla"]


@dataclass(frozen=True)
class Made:
    """A checkpoint and what became of it."""

    kind: str
    checkpoint: Path
    interface: Path
    bundle: Path


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        checkpoint = save_checkpoint(request.param, folder, patch)
        interface, bundle = write_interface(folder / "robot.yaml"), folder / "bundle"
        words = ["--out", str(bundle), "--interface", str(interface)]
        assert main(["export", f"lerobot:{checkpoint}", *words]) == 0
        yield Made(request.param, checkpoint, interface, bundle)


def test_the_graphs_compute_what_the_library_s_sampler_does(made: Made) -> None:
    reference = load_reference(made.bundle)
    parity = replay(load_policy(made.bundle, threads=1), reference)
    assert parity.passed and 0 < parity.max_step_error <= LIMIT
    assert parity.max_chunk_error <= LIMIT and 0 < parity.max_guided_error <= LIMIT
    assert np.abs(reference.trace[0, -1] - reference.trace[1, -1]).max() > 1e-2
    assert reference.noise.shape == (2, 10, 12) and reference.chunk.shape == (2, 10, 8)


def library_chunk(made: Made, seen: Any, noise: Any, steps: int) -> Any:
    """Let LeRobot compute a chunk from raw inputs: its files, its processors, its policy class."""
    module = importlib.import_module(f"lerobot.policies.{made.kind}.modeling_{made.kind}")
    policy = getattr(module, CLASSES[made.kind][1]).from_pretrained(made.checkpoint).eval()
    before, after = make_pre_post_processors(policy.config, pretrained_path=str(made.checkpoint))
    names = dict(zip(CAMERAS, ("scene", "wrist")))
    batch: dict[str, Any] = {
        f"observation.images.{key}": torch.tensor(seen.images[name]).permute(2, 0, 1) / 255.0
        for key, name in names.items()
    }
    batch |= {"observation.state": torch.tensor(seen.state), "task": seen.instruction}
    prepared, given = before(batch), torch.tensor(noise)[None]
    if made.kind == "smolvla":
        policy.config.num_steps = steps
        found = policy.predict_action_chunk(prepared, noise=given)
    else:
        found = policy.predict_action_chunk(prepared, noise=given, num_steps=steps)
    return after(found)[0].numpy()


@pytest.mark.parametrize("steps", [4, 10])
def test_the_chunk_is_the_library_s_from_raw_inputs(made: Made, steps: int) -> None:
    """Nothing of the export's own is used for what is wanted, and a camera is missing."""
    policy = load_policy(made.bundle, threads=1)
    seen = replace(policy.spec.example(3), instruction=WORDS[1])
    noise = np.random.default_rng(1).standard_normal(policy.spec.flow_shape).astype(np.float32)
    chunk = policy.sample(policy.encode(seen), noise, steps=steps)
    wanted = library_chunk(made, seen, noise, steps)
    assert wanted.shape == (10, 8)
    gap = np.abs(chunk.actions - wanted).max() / np.abs(wanted).max()
    print(f"{made.kind}, {steps} steps: {gap:.1e} of the commands")
    np.testing.assert_allclose(chunk.actions, wanted, atol=2e-5)


def test_a_newer_state_in_an_older_context_gives_the_library_s_chunk(made: Made) -> None:
    policy = load_policy(made.bundle, threads=1)
    spec = policy.spec
    assert spec.state_in_step == ("position" if made.kind == "pi0" else "")
    if made.kind != "pi0":
        return
    seen = replace(spec.example(3), instruction=WORDS[1])
    newer = replace(seen, state=spec.example(4).state)
    noise = np.random.default_rng(1).standard_normal(spec.flow_shape).astype(np.float32)
    context = with_state(policy.encode(seen), spec, newer.state, stamp_ns=7)
    chunk = policy.sample(context, noise)
    assert chunk.stamp_ns == 7
    wanted = library_chunk(made, newer, noise, spec.steps)
    np.testing.assert_allclose(chunk.actions, wanted, atol=2e-5)
    assert np.abs(chunk.actions - library_chunk(made, seen, noise, spec.steps)).max() > 1e-2


def test_large_pictures_become_small_ones_as_in_the_library(made: Made) -> None:
    camera = load_policy(made.bundle, threads=1).spec.cameras[0]
    module = importlib.import_module(f"lerobot.policies.{made.kind}.modeling_{made.kind}")
    rng = np.random.default_rng(0)
    for height, width in ((72, 128), (48, 64), (96, 54)):
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        raw = torch.tensor(image).permute(2, 0, 1)[None] / 255.0
        if made.kind == "smolvla":
            wanted = module.resize_with_pad(raw, camera.width, camera.height, pad_value=0)
        else:
            wanted = module.resize_with_pad_torch(raw, camera.height, camera.width)
        wanted = 255.0 * wanted[0].permute(1, 2, 0).numpy()
        assert np.abs(fit_image(image, camera) - wanted).max() < 1.0  # rounded to grey levels


def test_guidance_acts_and_every_input_counts(made: Made) -> None:
    policy = load_policy(made.bundle, threads=1)
    assert_guidance_acts(policy)
    seen = policy.spec.example(0)
    dark = {name: image // 2 for name, image in seen.images.items()}
    others = (
        replace(seen, instruction=WORDS[1]),
        replace(seen, state=seen.state + 0.3),
        replace(seen, images=dark),
        replace(seen, images={**seen.images, "wrist": dark["wrist"]}),
    )
    assert_each_counts(policy, others)


def test_the_robot_s_side_loads_neither_torch_nor_lerobot(made: Made) -> None:
    code = (
        "import sys, numpy as np\n"
        "from arfm_ros.engines import load_policy\n"
        "policy = load_policy(sys.argv[1], threads=1)\n"
        "noise = np.zeros(policy.spec.flow_shape, np.float32)\n"
        "policy.sample(policy.encode(policy.spec.example(0)), noise)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(made.bundle)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "lerobot", "transformers", "onnx", "safetensors"}


def test_the_bundle_has_a_model_card_and_passes_its_check(made: Made) -> None:
    assert f"{made.kind} of LeRobot" in (made.bundle / "README.md").read_text()
    assert main(["check", str(made.bundle), "--json", "-"]) == 0
    sizes = {file.name: file.stat().st_size for file in made.bundle.iterdir()}
    assert sizes["weights.safetensors"] > sizes["prefix.onnx"]


def test_weights_that_are_missing_or_of_another_shape_are_named(
    made: Made, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(made.checkpoint, broken)
    weights = load_file(broken / "model.safetensors")
    name = next(key for key in weights if "action_out_proj.weight" in key)
    whole = weights.pop(name)
    save_file(weights, broken / "model.safetensors")
    with pytest.raises(ConfigError, match="lacks 1 weights: .*action_out_proj.weight"):
        export_vla(f"lerobot:{broken}", made.interface, tmp_path / "b", "b")
    save_file({**weights, name: whole[:5]}, broken / "model.safetensors")
    with pytest.raises(ConfigError, match=r"action_out_proj.weight is \[5, .*needs \[12, "):
        export_vla(f"lerobot:{broken}", made.interface, tmp_path / "b", "b")
    (broken / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ConfigError, match="cannot read the weights in .*model.safetensors"):
        export_vla(f"lerobot:{broken}", made.interface, tmp_path / "b", "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.skipif(not NEWER.args[0], reason="this LeRobot has pi0 and pi0.5")
def test_a_library_that_is_too_old_for_a_policy_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"type": "pi05"}')
    interface = write_interface(tmp_path / "robot.yaml")
    with pytest.raises(ConfigError, match="needs Python 3.12 or newer"):
        export_vla(f"lerobot:{tmp_path}", interface, tmp_path / "b", "b")


def test_every_policy_of_the_library_is_exported_or_refused_by_name() -> None:
    import lerobot.policies

    families = {family.name for family in families_of("lerobot")}
    refused = {kind for library, kind in REFUSED if library == "lerobot"}
    found = {m.name for m in pkgutil.iter_modules(lerobot.policies.__path__) if m.ispkg}
    known = {"common", "rtc", "sac", "sarm"}  # parts of others; a critic; a reward
    assert found <= families | refused | known and not families & refused


def test_a_checkpoint_says_what_it_lacks(made: Made, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(made.checkpoint, broken)

    def fails(text: str, interface: Path = made.interface) -> None:
        with pytest.raises(ConfigError, match=text):
            export_vla(f"lerobot:{broken}", interface, tmp_path / "b", "b")

    fails("the checkpoint knows: base_0_rgb", write_interface(tmp_path / "r", ("top", "side")))
    before = json.loads((broken / "policy_preprocessor.json").read_text())
    step = next(s for s in before["steps"] if s["registry_name"] == "tokenizer_processor")
    step["config"]["tokenizer_name"] = str(tmp_path / "nowhere")
    (broken / "policy_preprocessor.json").write_text(json.dumps(before))
    fails("cannot open the tokenizer '.*nowhere': save it into")
    (broken / "policy_preprocessor.json").unlink()
    fails("has no policy_preprocessor.json: save the processors")
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"no_such_setting": 1}))
    fails("LeRobot cannot read .*config.json")

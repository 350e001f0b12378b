"""X-VLA of LeRobot: small random checkpoints, exported, against LeRobot itself."""

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

pytest.importorskip("lerobot.policies.xvla", reason="LeRobot is in .venv-vla")

import torch  # noqa: E402
from foreign_laws import assert_each_counts, assert_guidance_acts, some_noise  # noqa: E402
from lerobot_more_rig import GRIPPERS, WORDS, library_commands, save_xvla, write_interface  # noqa: E402

from arfm_ros.cli.__main__ import main  # noqa: E402
from arfm_ros.core.errors import ConfigError  # noqa: E402
from arfm_ros.engines import load_policy  # noqa: E402
from arfm_ros.engines.gate.replay import LIMITS, load_reference, replay  # noqa: E402
from arfm_ros.export.vla.model import export_vla  # noqa: E402

pytestmark = pytest.mark.vla
torch.set_num_threads(1)
RELATIVE = 1e-4  # of the commands, from raw inputs
OWN_FLORENCE = find_spec("lerobot.policies.xvla.modeling_florence2")  # 0.5: square pictures only
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "ee6d": (20, {}),
    "auto": (
        8,
        {"action_mode": "auto", "actions": 8, "max_action_dim": 14, "use_hetero_proj": True,
         "resize_imgs_with_padding": (48, 48 if OWN_FLORENCE else 56), "len_soft_prompts": 0},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A checkpoint and what became of it."""

    case: str
    checkpoint: Path
    interface: Path
    bundle: Path


@pytest.fixture(scope="module", params=sorted(CASES))
def made(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Made]:
    folder, (actions, options) = tmp_path_factory.mktemp(request.param), CASES[request.param]
    checkpoint = save_xvla(folder, **options)
    interface, bundle = write_interface(folder / "robot.yaml", actions), folder / "bundle"
    words = ["--out", str(bundle), "--interface", str(interface)]
    assert main(["export", f"lerobot:{checkpoint}", *words]) == 0
    yield Made(request.param, checkpoint, interface, bundle)


def library_chunk(made: Made, seen: Any, noise: Any, steps: int, patch: Any) -> Any:
    """Let LeRobot compute a chunk from raw inputs: its files, its processors, its policy class."""
    from lerobot.policies.xvla.modeling_xvla import XVLAPolicy

    policy = XVLAPolicy.from_pretrained(made.checkpoint).eval()
    policy.config.num_denoising_steps = steps
    return library_commands(policy, made.checkpoint, seen, noise, patch)


@pytest.mark.parametrize("steps", [1, 5, 10])
def test_the_chunk_is_the_library_s_from_raw_inputs(
    made: Made, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the export's own is used for what is wanted, and a camera is missing."""
    policy = load_policy(made.bundle, threads=1)
    seen = replace(policy.spec.example(3), instruction=WORDS[1])
    if made.case == "auto":  # a picture of another shape is resized and padded
        rng = np.random.default_rng(1)
        wide = {n: rng.integers(0, 256, (60, 96, 3), dtype=np.uint8) for n in seen.images}
        seen = replace(seen, images=wide)
    noise = some_noise(policy)
    chunk = policy.sample(policy.encode(seen), noise, steps=steps)
    wanted = library_chunk(made, seen, noise, steps, monkeypatch)
    gap = np.abs(chunk.actions - wanted).max() / np.abs(wanted).max()
    print(f"xvla {made.case}, {steps} steps: {gap:.1e} of the commands")
    assert wanted.shape == (10, CASES[made.case][0]) and 0 < gap <= RELATIVE


def test_the_graphs_pass_their_own_check(made: Made) -> None:
    parity = replay(load_policy(made.bundle, threads=1), load_reference(made.bundle))
    assert parity.passed and 0 < parity.max_guided_error <= LIMITS["fp32"].step
    assert "xvla of LeRobot" in (made.bundle / "README.md").read_text()
    assert main(["check", str(made.bundle), "--json", "-"]) == 0


def test_guidance_acts_and_every_input_counts(made: Made) -> None:
    policy = load_policy(made.bundle, threads=1)
    if made.case == "auto":  # the other one's grippers take no part in x
        assert_guidance_acts(policy)
    seen = policy.spec.example(0)
    dark = {name: image // 2 for name, image in seen.images.items()}
    others = (
        replace(seen, instruction=WORDS[1]),
        replace(seen, state=seen.state + 0.3),
        replace(seen, images={**seen.images, "scene": dark["scene"]}),
        replace(seen, images={**seen.images, "wrist": dark["wrist"]}),
    )
    assert_each_counts(policy, others)


def test_grippers_are_between_closed_and_open(made: Made) -> None:
    if made.case != "ee6d":
        pytest.skip("this action space has no grippers")
    policy = load_policy(made.bundle, threads=1)
    spec, noise = policy.spec, some_noise(policy)
    x = spec.action_norm.normalise(policy.sample(policy.encode(spec.example(0)), noise).actions)
    assert ((x[:, GRIPPERS] > 0) & (x[:, GRIPPERS] < 1)).all()


def test_what_is_not_exported_is_named(made: Made, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made.checkpoint, tmp_path / "copy"))

    def refused(says: str, file: str, change: Any) -> None:
        before = (copy / file).read_text()
        raw = json.loads(before)
        change(raw)
        (copy / file).write_text(json.dumps(raw))
        with pytest.raises(ConfigError, match=says):
            export_vla(f"lerobot:{copy}", made.interface, tmp_path / "b", "b")
        (copy / file).write_text(before)
        assert not (tmp_path / "b").exists()

    def step(raw: Any, name: str) -> Any:
        return next(s for s in raw["steps"] if s["registry_name"] == name)["config"]

    steps, config = "policy_preprocessor.json", "config.json"
    refused(
        "domain_id is 9, needs 0 to 3",
        steps,
        lambda raw: step(raw, "xvla_add_domain_id").update(domain_id=9),
    )
    refused(
        "padding = longest; X-VLA reads the padding",
        steps,
        lambda raw: step(raw, "tokenizer_processor").update(padding="longest"),
    )
    refused(
        "xvla_imagenet_normalize has image_keys = ",
        steps,
        lambda raw: step(raw, "xvla_imagenet_normalize").update(image_keys=["a"]),
    )
    refused("domain_feature_key = robot", config, lambda r: r.update(domain_feature_key="robot"))
    mode = {"action_mode": "joint"} if made.case == "ee6d" else {"action_mode": "franka_joint7"}
    refused("(gives .* actions, the|another shape)", config, lambda raw: raw.update(mode))


@pytest.mark.parametrize(
    "mode,actions",
    [("joint", 14), ("agibot_ee6d", 20), ("franka_joint7", 7), ("so101_bimanual", 12)],
)
def test_the_other_action_spaces_are_exported(mode: str, actions: int, tmp_path: Path) -> None:
    checkpoint = save_xvla(tmp_path, action_mode=mode, actions=actions)
    robot = write_interface(tmp_path / "robot.yaml", actions)
    parity = export_vla(f"lerobot:{checkpoint}", robot, tmp_path / "b", "b")
    print(f"xvla {mode}: {parity.max_action_relative:.1e} of the commands")
    assert parity.passed and 0 < parity.max_action_relative <= RELATIVE

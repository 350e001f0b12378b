"""Multi-task DiT of LeRobot, flow and diffusion: small checkpoints against LeRobot itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lerobot.policies.multi_task_dit", reason="LeRobot is in .venv-vla")

import torch  # noqa: E402
from diffusers.schedulers import scheduling_ddpm  # noqa: E402
from foreign_laws import assert_each_counts, assert_guidance_acts, some_noise  # noqa: E402
from lerobot.policies.factory import make_pre_post_processors  # noqa: E402
from lerobot_more_rig import CAMERAS, WORDS, save_dit, write_interface  # noqa: E402

from arfm_ros.cli.__main__ import main  # noqa: E402
from arfm_ros.core.errors import ConfigError  # noqa: E402
from arfm_ros.core.solvers.ddpm import added_noise  # noqa: E402
from arfm_ros.engines import load_policy  # noqa: E402
from arfm_ros.engines.gate.replay import LIMITS, load_reference, replay  # noqa: E402
from arfm_ros.export.vla.model import VlaRunning, export_vla  # noqa: E402

pytestmark = pytest.mark.vla
torch.set_num_threads(1)
RELATIVE = 1e-4  # of the commands, from raw inputs
FLOW = {"objective": "flow_matching"}
CASES: dict[str, dict[str, Any]] = {
    "flow": FLOW | {"n_obs_steps": 1, "image_resize_shape": (36, 36)},
    "past": FLOW | {"use_rope": False, "use_positional_encoding": True},
    "ddpm": {"use_separate_rgb_encoder_per_camera": True},
    "ddim": {"noise_scheduler_type": "DDIM", "num_inference_steps": 10},
}


@dataclass(frozen=True)
class Made:
    """A checkpoint and what became of it."""

    case: str
    checkpoint: Path
    interface: Path
    bundle: Path


@pytest.fixture(scope="module", params=sorted(CASES))
def made(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp(request.param)
    checkpoint = save_dit(folder, **CASES[request.param])
    interface, bundle = write_interface(folder / "robot.yaml"), folder / "bundle"
    words = ["--out", str(bundle), "--interface", str(interface)]
    assert main(["export", f"lerobot:{checkpoint}", *words]) == 0
    yield Made(request.param, checkpoint, interface, bundle)


def library_chunk(made: Made, seen: Any, noise: Any, patch: Any) -> Any:
    """Let LeRobot act from raw inputs: its files, its processors, its queues."""
    from lerobot.policies.multi_task_dit.modeling_multi_task_dit import MultiTaskDiTPolicy

    policy = MultiTaskDiTPolicy.from_pretrained(made.checkpoint).eval()
    before, after = make_pre_post_processors(policy.config, pretrained_path=str(made.checkpoint))
    policy.reset()
    draw = added_noise(noise)

    def more(shape: Any, **_: Any) -> torch.Tensor:
        return torch.from_numpy(draw.standard_normal(tuple(shape), dtype=np.float32))

    actions: list[torch.Tensor] = []
    for one in (*seen.earlier, seen):
        batch: dict[str, Any] = {
            f"observation.images.{key}": torch.tensor(one.images[name]).permute(2, 0, 1) / 255.0
            for key, name in zip(CAMERAS, ("scene", "wrist"))
        }
        batch |= {"observation.state": torch.tensor(one.state), "task": seen.instruction}
        prepared = before(batch)
        policy._queues["action"].clear()
        draw = added_noise(noise)
        patch.setattr(scheduling_ddpm, "randn_tensor", more)
        patch.setattr(torch, "randn", lambda *_, **__: torch.tensor(noise)[None])
        actions = [policy.select_action(prepared)]
        patch.undo()
    actions += list(policy._queues["action"])
    return after(torch.stack(actions, dim=1))[0].numpy()


def test_the_chunk_is_the_library_s_from_raw_inputs(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the export's own is used for what is wanted."""
    policy = load_policy(made.bundle, threads=1)
    seen = replace(policy.spec.example(3), instruction=WORDS[1])
    noise = some_noise(policy)
    chunk = policy.sample(policy.encode(seen), noise)
    wanted = library_chunk(made, seen, noise, monkeypatch)
    gap = np.abs(chunk.actions[: len(wanted)] - wanted).max() / np.abs(wanted).max()
    print(f"multi_task_dit {made.case}, {policy.spec.steps} steps: {gap:.1e} of the commands")
    assert wanted.shape == (6, 8) and 0 < gap <= RELATIVE
    past = 0 if made.case == "flow" else 1
    assert chunk.horizon == 12 - past and policy.spec.history.count == 1 + past


def test_the_graphs_pass_their_own_check(made: Made) -> None:
    parity = replay(load_policy(made.bundle, threads=1), load_reference(made.bundle))
    assert parity.passed and 0 < parity.max_step_error <= LIMITS["fp32"].step
    assert "multi_task_dit of LeRobot" in (made.bundle / "README.md").read_text()
    assert main(["check", str(made.bundle), "--json", "-"]) == 0


def test_every_input_counts(made: Made) -> None:
    policy = load_policy(made.bundle, threads=1)
    if made.case == "flow":
        assert policy.spec.rtc.mode == "guided"
        assert_guidance_acts(policy)
    seen = policy.spec.example(0)
    dark = {name: image // 2 for name, image in seen.images.items()}
    others = [
        replace(seen, instruction=WORDS[1]),
        replace(seen, state=seen.state + 0.3),
        replace(seen, images={**seen.images, "scene": dark["scene"]}),
        replace(seen, images={**seen.images, "wrist": dark["wrist"]}),
    ]
    if seen.earlier:
        others.append(replace(seen, earlier=(replace(seen.earlier[0], images=dark),)))
    assert_each_counts(policy, others)


def test_what_is_not_exported_is_named(made: Made, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made.checkpoint, tmp_path / "copy"))

    def refused(says: str, rtc: str | None = None, **changes: Any) -> None:
        raw = json.loads((made.checkpoint / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps(raw | changes))
        with pytest.raises(ConfigError, match=says):
            export_vla(f"lerobot:{copy}", made.interface, tmp_path / "b", "b", VlaRunning(rtc))
        assert not (tmp_path / "b").exists()

    nowhere = str(tmp_path / "clip-nowhere")
    refused("LeRobot cannot make the policy of .*clip-nowhere", vision_encoder_name=nowhere)
    if made.case in {"flow", "past"}:
        refused("integration_method = rk4 is not exported: set", integration_method="rk4")
    if made.case == "past":
        refused("'guided' needs a flow, 'b' is flow with a past: none", rtc="guided")

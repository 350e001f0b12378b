"""LeRobot's own classes at full size with random weights: its eager policy, and our bundle of it.

Nothing is downloaded: configuration and tokenizer are made here. The time is that of the network;
what a tokenizer says does not matter to it.
"""

from __future__ import annotations

import importlib
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.bench.gpu.parts import STEPS, TINY_STEPS, Report, Setting, Skipped
from arfm_ros.bench.gpu.timing import summary, times_ms, torch_device

SECONDS = 6.0
STATE, CAMERAS, ACTIONS = 8, ("scene", "wrist", "other"), 8
TEXT = "lift the red cube"
CLASSES = {"pi0": ("PI0Config", "PI0Policy"), "smolvla": ("SmolVLAConfig", "SmolVLAPolicy")}
SIDES = {"pi0": 224, "smolvla": 512}
PAD = {"pi0": "centre", "smolvla": "start"}
TINY_SIDE = 64


def measure(setting: Setting, report: Report, network: str) -> None:
    """Time the library's sampler; then export the policy, and time the bundle on onnxruntime."""
    import lerobot

    if setting.tiny and network == "pi0":
        raise Skipped("LeRobot has the sizes of pi0 fixed: this part runs on a GPU only")
    device, wait = torch_device(setting.device)
    steps = TINY_STEPS if setting.tiny else STEPS
    report(what=f"LeRobot {lerobot.__version__}'s class, random weights", steps=steps)
    with tempfile.TemporaryDirectory() as folder:
        policy = make_policy(network, Path(folder), setting.tiny, steps).eval()
        report(weights=sum(one.numel() for one in policy.parameters()))
        _time_library(network, policy.to(device), (device, wait), report)
        _require_provider(setting, report)
        bundle = export(network, policy.to("cpu"), Path(folder) / "bundle", steps)
        report(exported=True)
        _time_bundle(bundle, setting, report)


def make_policy(network: str, folder: Path, tiny: bool, steps: int) -> Any:
    """Make the library's policy with its own random weights, and what it reads in `folder`."""
    from lerobot.configs.types import FeatureType, PolicyFeature

    side = TINY_SIDE if tiny else SIDES[network]
    seen = {
        f"observation.images.{name}": PolicyFeature(FeatureType.VISUAL, (3, side, side))
        for name in CAMERAS
    }
    state = {"observation.state": PolicyFeature(FeatureType.STATE, (STATE,))}
    action = {"action": PolicyFeature(FeatureType.ACTION, (ACTIONS,))}
    more: dict[str, Any] = {"dtype": "bfloat16", "num_inference_steps": steps}
    if network == "smolvla":
        from arfm_ros.bench.gpu.vlm import write_vlm

        write_vlm(folder / "vlm", tiny)
        more = {"vlm_model_name": str(folder / "vlm"), "num_steps": steps}
        more |= {"num_vlm_layers": 4, "resize_imgs_with_padding": (side, side)} if tiny else {}
    parts = (
        f"lerobot.policies.{network}.{what}_{network}" for what in ("configuration", "modeling")
    )
    config_module, policy_module = map(importlib.import_module, parts)
    config_name, policy_name = CLASSES[network]
    config = getattr(config_module, config_name)(
        input_features=seen | state, output_features=action, device="cpu", **more
    )
    return getattr(policy_module, policy_name)(config)


def _time_library(network: str, policy: Any, on: tuple[Any, Any], report: Report) -> None:
    """Time `sample_actions`: pi0 stored in bf16, SmolVLA in float32 under bf16 autocast."""
    import torch

    (device, wait), config = on, policy.config
    side = policy.config.image_features[f"observation.images.{CAMERAS[0]}"].shape[1]
    images = [torch.rand(1, 3, side, side, device=device) * 2 - 1 for _ in CAMERAS]
    there = [torch.ones(1, dtype=torch.bool, device=device) for _ in CAMERAS]
    tokens = torch.zeros(1, config.tokenizer_max_length, dtype=torch.long, device=device)
    state = torch.randn(1, config.max_state_dim, device=device)
    noise = torch.randn(1, config.chunk_size, config.max_action_dim, device=device)
    given = (images, there, tokens, torch.ones_like(tokens, dtype=torch.bool), state)
    autocast = device.type == "cuda" and network == "smolvla"
    report(computed_in="bf16 by autocast" if autocast else str(next(policy.parameters()).dtype))
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16) if autocast else nullcontext():
        work = partial(policy.model.sample_actions, *given, noise=noise)
        report(library=summary(times_ms(work, wait, SECONDS if device.type == "cuda" else 0.1)))


def _require_provider(setting: Setting, report: Report) -> None:
    import onnxruntime

    wanted = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}[setting.device]
    if wanted not in onnxruntime.get_available_providers():
        report(ours="not run")
        raise Skipped(f"only the library's policy ran: this onnxruntime has no {wanted}")


def export(network: str, policy: Any, out: Path, steps: int) -> Path:
    """Write the bundle of a policy by our exporter, without a checkpoint between them."""
    import torch

    from arfm_ros.bench.gpu.vlm import tokenizer_json
    from arfm_ros.core.values.spec import CameraInput, Language
    from arfm_ros.export.families.lerobot_pi0 import LeRobotPi0
    from arfm_ros.export.families.lerobot_smolvla import LeRobotSmolVla
    from arfm_ros.export.lerobot.checkpoint import image_size
    from arfm_ros.export.vla.interface import Interface
    from arfm_ros.export.vla.model import write_bundle
    from arfm_ros.export.vla.network import Opened, freeze

    config, names = policy.config, tuple(f"joint{i}" for i in range(ACTIONS))
    size = image_size(config)
    cameras = tuple(CameraInput(c, *size, "linear", PAD[network], exact=True) for c in CAMERAS)
    robot = Interface({c: c for c in CAMERAS}, {"": names}, names, 0.05, TEXT)
    content, vocabulary = tokenizer_json()
    spec = replace(
        robot.spec(network, config.chunk_size, cameras),
        steps=steps,
        flow_width=config.max_action_dim,
        language=Language("tokenizer", config.tokenizer_max_length, vocabulary),
    )
    split: Any = {"pi0": LeRobotPi0, "smolvla": LeRobotSmolVla}[network]
    torch.set_num_threads(1)  # tracing is Python
    made: Any = freeze(split(policy, size))
    write_bundle(Opened(made, spec, content, f"{network} of LeRobot"), out, say=lambda _: None)
    return out


def _time_bundle(bundle: Path, setting: Setting, report: Report) -> None:
    from arfm_ros.bench.gpu.tabletop import open_policy

    policy = open_policy(setting, "onnx", "", bundle)
    observation, spec = policy.spec.example(0), policy.spec
    noise = np.random.default_rng(0).standard_normal(spec.flow_shape).astype(np.float32)

    def chunk() -> None:
        policy.sample(policy.encode(observation), noise)

    seconds = 0.1 if setting.tiny else SECONDS
    report(ours=summary(times_ms(chunk, lambda: None, seconds)), ours_in="float32, onnxruntime")
